"""Whether a large upload passes through the web process or piles up in it: its peak memory beside 500 MB.

The video is valid: behind a short one stands a box that players skip, as `free` boxes are made for.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from benchmarks.row import Row
from benchmarks.web_server import (
    BOUNDARY,
    ROOT,
    asgi_server,
    authorized,
    connect,
    deployment,
    form_type,
    part_head,
)
from tests.media_samples import moving_picture, write_video

READINGS = 3
SMALL, LARGE = 1_000_000, 500_000_000


def rows() -> Iterator[Row]:
    """Peak resident memory of the web server's processes during an upload of a small and of a large video."""
    with deployment() as deployed, asgi_server(deployed.environment) as web, TemporaryDirectory() as folder:
        peaks = []
        upload(web.port, deployed.key, padded_video(Path(folder), SMALL))
        for name, size in (("1 MB", SMALL), ("500 MB", LARGE)):
            video = padded_video(Path(folder), size)
            forget_peaks(web.process_id)
            upload(web.port, deployed.key, video)
            peaks.append(peak_megabytes(web.process_id))
            yield Row(f"web server's peak memory, upload of {name}", peaks[-1], "MB")
        yield Row("web server's peak memory, 500 MB to 1 MB", peaks[1] / peaks[0], "x")


def padded_video(folder: Path, size: int) -> Path:
    path = write_video(folder / f"{size}.mp4", moving_picture(50, width=256, height=256))
    padding = size - path.stat().st_size
    with path.open("ab") as file:
        file.write(padding.to_bytes(4, "big") + b"free")
        file.truncate(size)
    return path


def upload(port: int, key: str, video: Path) -> None:
    """Make a job of the video and the sample's speech."""
    speech = (ROOT / "samples" / "speech.wav").read_bytes()
    tail = b"\r\n" + part_head("audio", "speech.wav") + speech + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = part_head("video", "video.mp4")
    length = len(head) + video.stat().st_size + len(tail)
    headers = {"Content-Type": form_type(), "Content-Length": str(length)}
    request = authorized("POST", "/v1/jobs", key, headers)
    with contextlib.closing(connect(port)) as connection, video.open("rb") as content:
        connection.request(request.method, request.path, pieces(head, content, tail), request.headers)
        response = connection.getresponse()
        if response.status != 202:
            raise AssertionError(f"{response.status}: {response.read()!r}")
        response.read()


def pieces(head: bytes, content: IO[bytes], tail: bytes) -> Iterator[bytes]:
    yield head
    while piece := content.read(2**20):
        yield piece
    yield tail


def processes(root: int) -> list[int]:
    """A process and all that descend from it."""
    children = Path(f"/proc/{root}/task/{root}/children").read_text().split()
    return [root, *(each for child in children for each in processes(int(child)))]


def forget_peaks(root: int) -> None:
    for each in processes(root):
        Path(f"/proc/{each}/clear_refs").write_text("5")


def peak_megabytes(root: int) -> float:
    """The sum of their peaks."""
    found = (re.search(r"VmHWM:\s+(\d+) kB", status(each)) for each in processes(root))
    return sum(int(match.group(1)) * 1024 for match in found if match) / 1e6


def status(process_id: int) -> str:
    return Path(f"/proc/{process_id}/status").read_text()
