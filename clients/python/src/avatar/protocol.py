"""The conversation with the API without any input or output: what to send next, given what came back.

An operation is a generator. It yields a `Send`, `Pause` or `Watch`, is resumed with what came of it, and
returns its own result. `synchronous` and `asynchronous` carry these out, each in its way, so that retries,
uploads and waiting are written once.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from avatar.errors import ConnectionFailedError, VideoFailedError, api_error
from avatar.inputs import LARGE_BYTES, Media, MediaInput, media
from avatar.models import Estimate, VideoState, known

Result = TypeVar("Result")

RETRIES = 4
PASSING = frozenset({429, 502, 503, 504})
MAX_PAUSE_SECONDS = 60.0
POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Send:
    """One request; the answer is an `Answer`, or `ConnectionFailedError` is thrown in.

    Attributes:
        path: Below /v1, or a whole address elsewhere, which gets no key.
        stored: A file that is the whole body.
        save_to: Where the answer's body goes; it isn't kept in memory then.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    fields: Mapping[str, str] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    stored: Media | None = None
    save_to: Path | None = None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Watch:
    """A job's events until its last one or the end of the connection; the answer is a `Watched`."""

    path: str
    last_event_id: str
    on_state: Callable[[VideoState], None]


@dataclass(frozen=True)
class Watched:
    last_event_id: str
    state: VideoState | None


Command = Send | Pause | Watch
Operation = Generator[Command, Any, Result]


def request(send: Send) -> Operation[Answer]:
    """Send, and again after what passes: lost connections, 429, 502 to 504, after growing pauses with jitter.

    Every request that creates something carries an `Idempotency-Key`, so that a repetition creates it once.

    Raises:
        ApiError: The server refuses.
        ConnectionFailedError: It can't be reached.
    """
    attempt = 0
    while True:
        try:
            answer: Answer = yield send
        except ConnectionFailedError:
            if attempt == RETRIES:
                raise
            pause = None
        else:
            if answer.status < 400:
                return answer
            pause = _seconds(answer.headers.get("retry-after"))
            if answer.status not in PASSING or attempt == RETRIES or (pause or 0) > MAX_PAUSE_SECONDS:
                raise api_error(answer.status, _problem(answer), _request_id(answer), pause)
        yield Pause(pause if pause is not None else 0.5 * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        attempt += 1


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _request_id(answer: Answer) -> str:
    return str(answer.headers.get("x-request-id", ""))


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


# --- Videos ---


def create_body(
    image: MediaInput | None,
    audio: MediaInput | None,
    video: MediaInput | None,
    audio_2: MediaInput | None,
    options: Mapping[str, Any],
) -> Operation[tuple[dict[str, str], dict[str, tuple[str, bytes, str]]]]:
    """Fields and files of a form; large files are uploaded before and named by their assets."""
    given = {"image": image, "video": video, "audio": audio, "audio_2": audio_2}
    fields = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in options.items()
        if value is not None
    }
    files: dict[str, tuple[str, bytes, str]] = {}
    for name, value in given.items():
        if value is None:
            continue
        found = media(value, name)
        if found.url:
            fields[f"{name}_url"] = found.url
        elif found.size > LARGE_BYTES:
            fields[f"{name}_asset"] = yield from upload(found)
        else:
            files[name] = (found.name, found.read(), found.content_type)
    return fields, files


def upload(found: Media) -> Operation[str]:
    """Send a file straight to the store; the id of its asset."""
    announced = {"content_type": _asset_type(found), "size_bytes": found.size, "filename": found.name}
    answer = yield from request(Send("POST", "/assets", headers=_once(), json=announced))
    asset = answer.json()
    target = asset["upload"]
    yield from request(Send(target["method"], target["url"], headers=target["headers"], stored=found))
    return str(asset["id"])


def _asset_type(found: Media) -> str:
    """The server looks at the content; the announced type only has to be of a kind that it takes."""
    known_kinds = ("image/", "audio/", "video/")
    return found.content_type if found.content_type.startswith(known_kinds) else "video/mp4"


def create(
    image: MediaInput | None,
    audio: MediaInput | None,
    video: MediaInput | None,
    audio_2: MediaInput | None,
    idempotency_key: str | None,
    options: Mapping[str, Any],
) -> Operation[VideoState]:
    fields, files = yield from create_body(image, audio, video, audio_2, options)
    answer = yield from request(
        Send("POST", "/jobs", headers=_once(idempotency_key), fields=fields, files=files)
    )
    return VideoState.read(answer.json())


def estimate(
    image: MediaInput | None,
    audio: MediaInput | None,
    video: MediaInput | None,
    audio_2: MediaInput | None,
    options: Mapping[str, Any],
) -> Operation[Estimate]:
    fields, files = yield from create_body(image, audio, video, audio_2, options)
    answer = yield from request(Send("POST", "/estimates", fields=fields, files=files))
    return known(Estimate, answer.json())


def read(video_id: str) -> Operation[VideoState]:
    answer = yield from request(Send("GET", f"/jobs/{video_id}"))
    return VideoState.read(answer.json())


def act(video_id: str, verb: str) -> Operation[VideoState]:
    """`cancel` or `retry`."""
    answer = yield from request(Send("POST", f"/jobs/{video_id}/{verb}", headers=_once()))
    return VideoState.read(answer.json())


def delete(video_id: str) -> Operation[None]:
    yield from request(Send("DELETE", f"/jobs/{video_id}"))


def wait(video_id: str, on_progress: Callable[[VideoState], None] | None) -> Operation[VideoState]:
    """Listen to a video until it has ended; where events don't come through, ask now and then."""
    last_event_id = ""
    report = on_progress or (lambda state: None)
    while True:
        watched: Watched = yield Watch(f"/jobs/{video_id}/events", last_event_id, report)
        last_event_id = watched.last_event_id
        state = watched.state
        if state is None or not state.ended:
            state = yield from read(video_id)
            report(state)
        if state.ended:
            return state
        yield Pause(POLL_SECONDS)


def download(state: VideoState, path: Path) -> Operation[None]:
    """Save a finished video; whatever is at `path` is replaced once all of it is there."""
    fresh = yield from read(state.id)
    raise_unless_finished(fresh)
    assert fresh.output is not None
    partial = path.with_name(f"{path.name}.part")
    yield from request(Send("GET", fresh.output.url, save_to=partial))
    partial.replace(path)


def raise_unless_finished(state: VideoState) -> None:
    """Raises: VideoFailedError: There is no video, and there will be none."""
    if state.status == "canceled":
        raise VideoFailedError("canceled", "The video was canceled.", retryable=True)
    if state.error is not None:
        raise VideoFailedError(state.error.code, state.error.detail, state.error.retryable)


def page(
    path: str, parameters: Mapping[str, str], cursor: str | None
) -> Operation[tuple[list[Any], str | None]]:
    """One page of a list, and where the next begins."""
    query = {**parameters, **({"cursor": cursor} if cursor else {})}
    answer = yield from request(Send("GET", f"{path}?{urlencode(query)}" if query else path))
    found = answer.json()
    return found["data"], found.get("next_cursor")


def read_json(path: str) -> Operation[dict[str, Any]]:
    answer = yield from request(Send("GET", path))
    found: dict[str, Any] = answer.json()
    return found


def _once(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or str(uuid.uuid4())}


class EventReader:
    """Reads server-sent events line by line, and hands on the states in them."""

    def __init__(self, watch: Watch) -> None:
        self.last_event_id = watch.last_event_id
        self._on_state = watch.on_state
        self._event = ""
        self.done = False
        self.state: VideoState | None = None

    def line(self, line: str) -> None:
        name, _, value = line.partition(": ")
        if name == "id":
            self.last_event_id = value
        elif name == "event":
            self._event = value
        elif name == "data":
            self.state = VideoState.read(json.loads(value))
            self._on_state(self.state)
            self.done = self._event == "done"

    @property
    def watched(self) -> Watched:
        return Watched(self.last_event_id, self.state)
