"""The GPU worker on RunPod serverless: `python -m gpu_worker.serverless`.

One worker process is started at once and loads its models before the first request is taken. A request
is a wake: the worker drains its queue for as long as the request says, hands back what is then in work
and stays warm. What there is to render is never in the request: it is in the queue.
"""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import runpod  # type: ignore[import-untyped,import-not-found,unused-ignore]
from redis.exceptions import RedisError

from gpu_worker import settings
from gpu_worker.common import logs
from gpu_worker.contract.turns import EXECUTION_SECONDS, TURN_SECONDS
from gpu_worker.runtime import neighbours, rq_worker
from gpu_worker.runtime.signals import on_interrupt

log = logging.getLogger("gpu_worker.serverless")

READY_SECONDS = 400.0
"""RunPod calls a worker that needs more than seven minutes to start unhealthy."""
HAND_BACK_SECONDS = 10.0
ANSWER_SECONDS = 1.0
"""What the SDK may take to send the answer to the request in work."""


class WorkerGoneError(Exception):
    """The worker process has ended."""


class WorkerOnDemand:
    """The parent's end of the line to a worker process; see `gpu_worker.runtime.serverless_sessions`."""

    def __init__(self, command: list[str]) -> None:
        ours, theirs = socket.socketpair()
        self._channel = ours
        self._process = subprocess.Popen(
            [*command, "--turns", str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._ready: Future[None] = Future()
        self._answers: dict[int, Future[dict[str, Any]]] = {}
        self._turn = 0
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def wait_until_ready(self, seconds: float) -> None:
        """Wait for the models to be loaded.

        Raises:
            WorkerGoneError: The worker ended instead.
            TimeoutError: It takes longer.
        """
        self._ready.result(seconds)

    async def turn(self, seconds: float) -> dict[str, Any]:
        """Let the worker render for `seconds`; what it did.

        Raises:
            WorkerGoneError: It has ended.
        """
        self._turn += 1
        turn = self._turn
        self._answers[turn] = Future()
        self._say({"turn": turn, "seconds": seconds, "limit": EXECUTION_SECONDS})
        try:
            return await asyncio.wrap_future(self._answers[turn])
        except asyncio.CancelledError:
            self._say({"end": turn})  # The request was cancelled or timed out; nobody waits for an answer.
            raise

    def end(self) -> int:
        """Let the worker hand back and end; its exit status."""
        self._process.terminate()
        return self.wait(HAND_BACK_SECONDS)

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)

    def _listen(self) -> None:
        with self._channel.makefile("r") as lines:
            for line in lines:
                answer = json.loads(line)
                if "ready" in answer:
                    self._ready.set_result(None)
                    continue
                future = self._answers.pop(answer["turn"])
                if future.set_running_or_notify_cancel():
                    future.set_result(answer)
        waiting: list[Future[Any]] = [self._ready, *self._answers.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(WorkerGoneError("the worker process has ended"))
        self._process.wait()
        _declare_gone()

    def _say(self, command: dict[str, Any]) -> None:
        try:
            self._channel.sendall(json.dumps(command).encode() + b"\n")
        except OSError as error:
            raise WorkerGoneError("the worker process has ended") from error


def _declare_gone() -> None:
    """Let control know at once that what the worker had in work is lost, where it couldn't say so itself."""
    with suppress(RedisError), rq_worker.connect(settings.REDIS_URL) as redis:
        neighbours.declare_gone(redis, neighbours.this_process())


def make_handler(worker: WorkerOnDemand) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """What the SDK calls for each request."""

    async def handle(job: dict[str, Any]) -> dict[str, Any]:
        seconds = job["input"].get("seconds", TURN_SECONDS)
        if not isinstance(seconds, int | float) or not 0 < seconds <= TURN_SECONDS:
            return {"error": f"seconds must be a number above 0 and at most {TURN_SECONDS}"}
        try:
            return await worker.turn(seconds)
        except WorkerGoneError as error:
            return {"error": str(error), "refresh_worker": True}  # The SDK lets the pod be replaced.

    return handle


def main(command: list[str] | None = None) -> int:
    """Serve requests until SIGTERM, with the worker process that `command` starts; its exit status."""
    logs.to_stderr()
    worker = WorkerOnDemand(command or [sys.executable, "-m", "gpu_worker.worker", "--queue", "render-gpu"])
    began = time.monotonic()
    try:
        worker.wait_until_ready(READY_SECONDS)
    except WorkerGoneError:
        return worker.wait(HAND_BACK_SECONDS)
    log.info("ready after %.1f s", time.monotonic() - began)

    def end() -> None:
        worker.end()
        time.sleep(ANSWER_SECONDS)
        os._exit(0)  # The SDK would sit out its poll for a next request, up to 90 s.

    on_interrupt(end)
    runpod.serverless.start({"handler": make_handler(worker)})
    return worker.end()


if __name__ == "__main__":
    sys.exit(main())
