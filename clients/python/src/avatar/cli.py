"""`avatar`: the command line.

    avatar create me.jpg me.mp3 -o me.mp4
    avatar create me.jpg --text "Good morning." -o me.mp4
    avatar batch orders.csv --folder videos
    avatar jobs | watch | cancel | retry | estimate | voices | usage | me | mcp

AVATAR_API_KEY and AVATAR_API_URL say where and as whom. `--json` prints what the API answers. The status is 0
on success, 1 if a video failed, 2 for a request that was refused, 3 if the server can't be reached, 130 after
Ctrl-C.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from avatar.connection import Settings
from avatar.errors import ApiError, AvatarError, ConnectionFailedError, VideoFailedError
from avatar.models import VideoState
from avatar.synchronous import Avatar, Video

FAILED, REFUSED, AWAY, INTERRUPTED = 1, 2, 3, 130
OPTIONS = ("text", "voice", "preset", "resolution", "prompt", "negative_prompt", "seed")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command is None:
            return _mcp(options.url, options.folder, options.http)
        with Avatar(url=options.url) as avatar:
            status: int = options.command(avatar, options)
            return status
    except VideoFailedError as error:
        return _fail(error, FAILED)
    except ConnectionFailedError as error:
        return _fail(error, AWAY)
    except ApiError as error:
        for fault in error.errors:
            print(f"{fault.field}: {fault.detail}", file=sys.stderr)
        return _fail(error, REFUSED)
    except AvatarError as error:
        return _fail(error, REFUSED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(error: Exception, status: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="avatar", description="A portrait and speech become a talking video."
    )
    parser.add_argument("--url", help="of the deployment; default: AVATAR_API_URL")
    parser.add_argument("--json", action="store_true", help="print what the API answers")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    create = _command(commands, "create", _create, "make a video and wait for it")
    _request_arguments(create)
    create.add_argument("-o", "--output", type=Path, help="where the video goes; default: named as its input")
    create.add_argument("--no-wait", action="store_true", help="print the id and leave")
    create.add_argument("--cancel-on-interrupt", action="store_true", help="Ctrl-C cancels the video, too")

    _request_arguments(_command(commands, "estimate", _estimate, "what a video would take and cost"))

    batch = _command(commands, "batch", _batch, "make a video for each line of a CSV file")
    batch.add_argument("file", type=Path, help="with the columns image, audio and any other field of the API")
    batch.add_argument("--folder", type=Path, default=Path(), help="where the videos go")
    batch.add_argument("--at-once", type=int, default=4)

    jobs = _command(commands, "jobs", _jobs, "list videos, newest first")
    jobs.add_argument("--status", help="queued, processing, succeeded, failed or canceled")
    jobs.add_argument("--limit", type=int, default=20)
    for name, command, text in (
        ("watch", _watch, "show the progress of a video until it has ended"),
        ("cancel", _act("cancel"), "cancel a video"),
        ("retry", _act("retry"), "make a video once more"),
    ):
        _command(commands, name, command, text).add_argument("id")
    _command(commands, "usage", lambda avatar, _: _print(avatar.usage()), "what was used this month")
    _command(commands, "voices", lambda avatar, _: _print(avatar.voices()), "what can say a text")
    _command(commands, "me", lambda avatar, _: _print(avatar.me()), "organization, key and plan")
    mcp = commands.add_parser("mcp", help="serve the API as tools of a language model (needs the extra mcp)")
    mcp.set_defaults(command=None)  # Alone in needing no key of its own.
    mcp.add_argument("--folder", type=Path, help="whose files may be used; default: here, with --http none")
    mcp.add_argument("--http", type=int, metavar="PORT", help="on loopback, instead of stdin and stdout")
    return parser


def _command(commands: Any, name: str, command: Callable[..., int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.set_defaults(command=command)
    return parser


def _request_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", help="the portrait, or with --dub a video: a path or a URL")
    parser.add_argument("audio", nargs="?", help="the speech: a path or a URL; or --text and --voice")
    parser.add_argument("--audio-2", help="the second speaker's speech")
    parser.add_argument("--dub", action="store_true")
    for name in OPTIONS:
        parser.add_argument(f"--{name.replace('_', '-')}")


def _request(options: argparse.Namespace) -> dict[str, Any]:
    reference = "video" if options.dub else "image"
    chosen = {name: getattr(options, name) for name in OPTIONS}
    return {reference: options.image, "audio": options.audio, "audio_2": options.audio_2, **chosen}


def _create(avatar: Avatar, options: argparse.Namespace) -> int:
    video = avatar.videos.create(**_request(options))
    if options.no_wait:
        return _print(video.state.raw) if options.json else _say(video.id)
    try:
        video.wait(on_progress=_shown_progress())
    except KeyboardInterrupt:
        if options.cancel_on_interrupt:
            video.cancel()
        print(f"\nThe video goes on as {video.id}: avatar watch {video.id}", file=sys.stderr)
        raise
    output = options.output or Path(Path(options.audio or options.image).stem or "video").with_suffix(".mp4")
    video.download(output)
    return _print(video.state.raw) if options.json else _say(str(output))


def _estimate(avatar: Avatar, options: argparse.Namespace) -> int:
    found = avatar.videos.estimate(**_request(options))
    if options.json:
        return _print(vars(found))
    print(
        f"{found.duration_seconds:.1f} s of video, ${found.estimated_cost_usd}, "
        f"rendered in {found.estimated_seconds:.0f} s"
    )
    for warning in found.warnings:
        print(f"{warning['code']}: {warning['detail']}")
    return 0


def _batch(avatar: Avatar, options: argparse.Namespace) -> int:
    """A video that is there already isn't made again, so a run that was stopped is gone on with."""
    with options.file.open(newline="") as file:
        orders = list(csv.DictReader(file))
    options.folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.at_once) as workers:
        states = list(workers.map(lambda item: _ordered(avatar, options, *item), enumerate(orders, start=1)))
    for number, state in enumerate(states, start=1):
        print(f"{number:5d}  {state}")
    return 0 if all(state.endswith(".mp4") for state in states) else FAILED


def _ordered(avatar: Avatar, options: argparse.Namespace, number: int, order: dict[str, str]) -> str:
    """Make the video of a line; where it lies, or why there is none."""
    target: Path = options.folder / f"{options.file.stem}-{number:05d}.mp4"
    if target.exists():
        return str(target)
    given = {name: value for name, value in order.items() if value}
    try:
        video = avatar.videos.create(**given, idempotency_key=_key_of(number, given))
        video.wait().download(target)
    except AvatarError as error:
        return str(error)
    return str(target)


def _key_of(number: int, given: dict[str, str]) -> str:
    """The same for the same line in every run, so that no video is made twice."""
    return hashlib.sha256(json.dumps([number, given], sort_keys=True).encode()).hexdigest()[:40]


def _jobs(avatar: Avatar, options: argparse.Namespace) -> int:
    filters = {"status": options.status} if options.status else {}
    found = [video for video, _ in zip(avatar.videos.list(**filters), range(options.limit))]  # noqa: B905
    if options.json:
        return _print([video.state.raw for video in found])
    for video in found:
        print(f"{video.id}  {video.status:10}  {video.progress:3d} %  {video.state.raw['created_at']}")
    return 0


def _watch(avatar: Avatar, options: argparse.Namespace) -> int:
    video = avatar.videos.get(options.id)
    video.wait(on_progress=_shown_progress())
    return _print(video.state.raw) if options.json else _say(video.status)


def _act(verb: str) -> Callable[[Avatar, argparse.Namespace], int]:
    def command(avatar: Avatar, options: argparse.Namespace) -> int:
        video: Video = getattr(avatar.videos.get(options.id), verb)()
        return _print(video.state.raw) if options.json else _say(f"{video.id} {video.status}")

    return command


def _mcp(url: str | None, folder: Path | None, port: int | None) -> int:
    try:
        from avatar import mcp_server
    except ImportError as error:
        raise AvatarError("Install what this needs: pip install 'avatar-api-client[mcp]'") from error
    if port is not None:
        address = Settings.of("brought by each caller", url, 0).url
        mcp_server.serve_http(address, folder, port)
    else:
        settings = Settings.of(None, url, 0)
        mcp_server.serve_stdio(settings.api_key, settings.url, folder or Path())
    return 0


def _shown_progress() -> Callable[[VideoState], None] | None:
    """One line that is written over, on a terminal alone."""
    if not sys.stderr.isatty():
        return None

    def show(state: VideoState) -> None:
        left = "" if state.eta_seconds is None else f", {state.eta_seconds:.0f} s left"
        place = f", place {state.queue_position}" if state.queue_position else ""
        text = f"\r{state.progress:3d} %  {state.stage or state.status}{place}{left}"
        print(text.ljust(60), end="\n" if state.ended else "", file=sys.stderr, flush=True)

    return show


def _print(value: Any) -> int:
    print(json.dumps(value, indent=2))
    return 0


def _say(text: str) -> int:
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
