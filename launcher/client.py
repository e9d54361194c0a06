"""A client of the API, as any customer would write one: HTTP and nothing else.

AVATAR_KEY=av_test_… python -m launcher.client --url http://127.0.0.1:8000 --image me.jpg --audio me.mp3
With AVATAR_TEXT in the environment it sends that text instead of a recording.
"""

import argparse
import json
import mimetypes
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from launcher.terminal import Failure, Progress, finished, say

POLL_SECONDS = 0.4
REQUEST_SECONDS = 60


class Client:
    """Talks to one deployment with one key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def create_job(self, files: dict[str, Path], fields: dict[str, str]) -> dict[str, Any]:
        boundary = uuid.uuid4().hex
        body = multipart(files, fields, boundary)
        return self._json("POST", "/v1/jobs", body, f"multipart/form-data; boundary={boundary}")

    def job(self, job_id: str) -> dict[str, Any]:
        return self._json("GET", f"/v1/jobs/{job_id}")

    def download(self, url: str, target: Path) -> None:
        """Fetch a finished file; its address is signed, so no key goes with it."""
        with urllib.request.urlopen(url, timeout=REQUEST_SECONDS) as response:  # noqa: S310
            target.write_bytes(response.read())

    def _json(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": content_type}
        request = urllib.request.Request(  # noqa: S310
            f"{self._url}{path}", data=body, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as refusal:
            raise Failure(refused(refusal)) from None
        except urllib.error.URLError as error:
            raise Failure(f"{self._url} can't be reached ({error.reason}): is the stack running?") from None


def multipart(files: dict[str, Path], fields: dict[str, str], boundary: str) -> bytes:
    """The body of a form with files, RFC 7578."""
    parts = []
    for field, value in fields.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'
        parts += [head.encode(), value.encode(), b"\r\n"]
    for field, path in files.items():
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{path.name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        )
        parts += [head.encode(), path.read_bytes(), b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def refused(refusal: urllib.error.HTTPError) -> str:
    """One sentence from a problem document (RFC 9457)."""
    try:
        problem = json.load(refusal)
    except ValueError:
        return f"The API answered {refusal.code} without a problem document: that is a bug."
    faults = "; ".join(f"{fault['field']}: {fault['detail']}" for fault in problem.get("errors", []))
    return f"The API refused with {refusal.code} {problem['code']}: {faults or problem['detail']}"


def make_video(client: Client, files: dict[str, Path], fields: dict[str, str], target: Path) -> None:
    """Submit, follow and download one job.

    Raises:
        Failure: the request was refused or the job failed.
    """
    started = time.monotonic()
    job = client.create_job(files, fields)
    sent = [path.name for path in files.values()] + list(fields)
    finished(f"submit {' and '.join(sent)}", time.monotonic() - started)
    job = follow(client, job)
    if job["status"] != "succeeded":
        error = job["error"] or {"code": job["status"], "detail": "the job did not finish"}
        raise Failure(f"The job ended as {job['status']}, {error['code']}: {error['detail']}")
    started = time.monotonic()
    client.download(job["output"]["url"], target)
    finished(f"download {target.name}", time.monotonic() - started)
    output = job["output"]
    say(
        f"\n  {target}: {output['duration_seconds']:.1f} s of video, {output['width']}×{output['height']}, "
        f"{output['size_bytes'] / 1e6:.1f} MB"
    )


def follow(client: Client, job: dict[str, Any]) -> dict[str, Any]:
    progress = Progress("render")
    while job["status"] in ("queued", "processing"):
        window = job["window"]
        detail = job["stage"] or job["status"]
        if window and window["total"]:
            detail += f", window {window['current']} of {window['total']}"
        progress.show(job["progress"] / 100, detail)
        time.sleep(POLL_SECONDS)
        job = client.job(job["id"])
    progress.finish()
    return job


def main() -> int:
    parser = argparse.ArgumentParser(prog="launcher.client", description="Make one talking video.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--image", required=True, type=Path)
    parser.add_argument("--audio", required=True, type=Path)
    parser.add_argument("--output", default=Path("demo.mp4"), type=Path)
    options = parser.parse_args()
    text = os.environ.get("AVATAR_TEXT")
    files = {"image": options.image} | ({} if text else {"audio": options.audio})
    fields = {"text": text} if text else {}
    try:
        make_video(Client(options.url, os.environ["AVATAR_KEY"]), files, fields, options.output)
    except Failure as failure:
        say(f"\n{failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
