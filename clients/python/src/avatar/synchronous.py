"""The client that blocks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from avatar import protocol
from avatar.connection import Settings, arguments, described, pieces
from avatar.errors import ConnectionFailedError, WaitTimeoutError
from avatar.inputs import MediaInput
from avatar.models import Estimate, Failure, Output, VideoState
from avatar.protocol import Answer, EventReader, Operation, Pause, Send, Watch, Watched

Result = TypeVar("Result")
OnProgress = Callable[[VideoState], None]


class Avatar:
    """Avatar API, for one key.

    Args:
        api_key: Default: AVATAR_API_KEY.
        url: Of the deployment. Default: AVATAR_API_URL.
        timeout: Seconds that the server may be silent.
        http: Your own `httpx.Client`, for proxies and certificates.

    Raises:
        AvatarError: There is no key or address.
    """

    def __init__(
        self,
        api_key: str | None = None,
        url: str | None = None,
        *,
        timeout: float = 60.0,
        http: httpx.Client | None = None,
    ) -> None:
        self._settings = Settings.of(api_key, url, timeout)
        self._http = http or httpx.Client(timeout=timeout)
        self.videos = Videos(self)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Avatar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def me(self) -> dict[str, Any]:
        """The organization, the key, and what the plan allows."""
        return self.run(protocol.read_json("/me"))

    def usage(self) -> dict[str, Any]:
        """What was used this month."""
        return self.run(protocol.read_json("/usage"))

    def voices(self) -> list[dict[str, Any]]:
        """What can say a text, the default first; empty where nothing can."""
        return list(self.run(protocol.read_json("/voices"))["data"])

    def run(self, operation: Operation[Result], deadline: float | None = None) -> Result:
        """Carry out an operation; `deadline` is a moment of `time.monotonic`."""
        try:
            command = next(operation)
            while True:
                if deadline is not None and time.monotonic() >= deadline:
                    operation.close()
                    raise WaitTimeoutError("The video hasn't ended yet.")
                try:
                    result = self._carry_out(command, deadline)
                except ConnectionFailedError as error:
                    command = operation.throw(error)
                else:
                    command = operation.send(result)
        except StopIteration as stop:
            found: Result = stop.value
            return found

    def _carry_out(self, command: protocol.Command, deadline: float | None) -> Any:
        if isinstance(command, Pause):
            return time.sleep(command.seconds)
        if isinstance(command, Watch):
            return self._watch(command, deadline)
        return self._send(command)

    def _send(self, send: Send) -> Answer:
        given = arguments(self._settings, send)
        if send.stored is not None:
            given["headers"]["Content-Length"] = str(send.stored.size)
            given["content"] = pieces(send.stored)
        try:
            with self._http.stream(**given, follow_redirects=True) as response:
                body = b""
                if send.save_to is not None and response.is_success:
                    with send.save_to.open("wb") as file:
                        for piece in response.iter_bytes():
                            file.write(piece)
                else:
                    body = response.read()
                return Answer(response.status_code, response.headers, body)
        except httpx.HTTPError as error:
            raise ConnectionFailedError(described(error)) from error

    def _watch(self, watch: Watch, deadline: float | None) -> Watched:
        reader = EventReader(watch)
        headers = {**self._settings.headers(watch.path), "Accept": "text/event-stream"}
        if watch.last_event_id:
            headers["Last-Event-ID"] = watch.last_event_id
        try:
            with self._http.stream("GET", self._settings.address(watch.path), headers=headers) as response:
                if response.status_code == 200:
                    for line in response.iter_lines():
                        reader.line(line)
                        if reader.done or (deadline is not None and time.monotonic() >= deadline):
                            break
        except httpx.HTTPError:
            pass  # The operation reads the video instead, and listens again.
        return reader.watched


class Videos:
    """`Avatar.videos`."""

    def __init__(self, client: Avatar) -> None:
        self._client = client

    def create(
        self,
        *,
        image: MediaInput | None = None,
        audio: MediaInput | None = None,
        video: MediaInput | None = None,
        audio_2: MediaInput | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Video:
        """Have a video made; it is queued when this returns.

        Args:
            image: The portrait: a path, bytes, an open file or a URL.
            audio: The speech, likewise; or `text` and `voice` among the options, and the service says it.
            video: In place of the image: a video to dub.
            audio_2: The second speaker's speech.
            idempotency_key: Makes one video of any number of calls; by default each call makes one, however
                often it is repeated because of a lost connection.
            **options: `preset`, `resolution`, `prompt`, `seed`, `metadata` and the other fields of the API.

        Raises:
            ApiError: The request was refused; see its subclasses.
            ConnectionFailedError: The server can't be reached.
            AvatarError: There is no such file.
        """
        operation = protocol.create(image, audio, video, audio_2, idempotency_key, options)
        return Video(self._client, self._client.run(operation))

    def estimate(
        self,
        *,
        image: MediaInput | None = None,
        audio: MediaInput | None = None,
        video: MediaInput | None = None,
        audio_2: MediaInput | None = None,
        **options: Any,
    ) -> Estimate:
        """What a video would take and cost; nothing is made. Raises as `create`."""
        return self._client.run(protocol.estimate(image, audio, video, audio_2, options))

    def get(self, video_id: str) -> Video:
        """Raises: NotFoundError: There is no such video."""
        return Video(self._client, self._client.run(protocol.read(video_id)))

    def list(self, **filters: str) -> Iterator[Video]:
        """All videos, newest first, page by page as they are needed."""
        cursor: str | None = None
        while True:
            found, cursor = self._client.run(protocol.page("/jobs", filters, cursor))
            yield from (Video(self._client, VideoState.read(each)) for each in found)
            if cursor is None:
                return


class Video:
    """A video, as it was when it was last read."""

    def __init__(self, client: Avatar, state: VideoState) -> None:
        self._client = client
        self.state = state

    def wait(self, timeout: float | None = None, on_progress: OnProgress | None = None) -> Video:
        """Wait until the video is there.

        Args:
            timeout: Seconds.
            on_progress: Called with each new state.

        Raises:
            VideoFailedError: It failed or was canceled.
            WaitTimeoutError: It takes longer; it goes on being made.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self.state = self._client.run(protocol.wait(self.id, on_progress), deadline)
        protocol.raise_unless_finished(self.state)
        return self

    def download(self, path: str | Path) -> Path:
        """Save the finished video.

        Raises:
            VideoFailedError: There is none.
            NotFoundError: Its files are gone.
        """
        target = Path(path).expanduser()
        self._client.run(protocol.download(self.state, target))
        return target

    def refresh(self) -> Video:
        self.state = self._client.run(protocol.read(self.id))
        return self

    def cancel(self) -> Video:
        self.state = self._client.run(protocol.act(self.id, "cancel"))
        return self

    def retry(self) -> Video:
        """The same request once more, as a new video."""
        return Video(self._client, self._client.run(protocol.act(self.id, "retry")))

    def delete(self) -> None:
        """Remove the video's files."""
        self._client.run(protocol.delete(self.id))

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def status(self) -> str:
        return self.state.status

    @property
    def progress(self) -> int:
        return self.state.progress

    @property
    def stream_url(self) -> str | None:
        """An HLS playlist that plays what is finished, from the first window on."""
        return self.state.stream_url

    @property
    def output(self) -> Output | None:
        return self.state.output

    @property
    def error(self) -> Failure | None:
        return self.state.error

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.state.metadata

    def __repr__(self) -> str:
        return f"<Video {self.id} {self.status}>"
