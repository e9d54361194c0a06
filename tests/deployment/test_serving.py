"""The server as the image starts it: what happens to requests in work when it reloads and when it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment.production import REPOSITORY

SECONDS = 120


def from_dockerfile() -> tuple[list[str], dict[str, str]]:
    """The command of the image, with another application, and Granian's variables."""
    text = (REPOSITORY / "Dockerfile").read_text()
    command = json.loads(text[text.rindex("CMD ") + 4 :])
    variables = dict(re.findall(r"\b(GRANIAN_\w+)=(\w+)", text))
    return [*command[:-1], "tests.deployment.slow_application:application"], variables


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    port: int

    def ask(self, path: str) -> tuple[int, int]:
        """The process that answers, and how many slow requests it has in work."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS) as answer:
            process, in_work = answer.read().split()
        return int(process), int(in_work)

    def serves(self) -> bool:
        try:
            self.ask("/")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def server() -> Iterator[Server]:
    (program, *arguments), variables = from_dockerfile()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | variables | {"GRANIAN_HOST": "127.0.0.1", "GRANIAN_PORT": str(port)}
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
        try:
            yield Server(process, port)
        finally:
            process.kill()


def begun(server: Server, pool: ThreadPoolExecutor) -> Future[tuple[int, int]]:
    """A slow request that is in work."""
    answer = pool.submit(server.ask, "/slow")
    wait_until(lambda: server.ask("/")[1] == 1)
    return answer


def test_a_reload_and_an_end_answer_what_is_in_work(server: Server) -> None:
    wait_until(server.serves)
    first, _ = server.ask("/")
    with ThreadPoolExecutor() as pool:
        answer = begun(server, pool)
        server.process.send_signal(signal.SIGHUP)
        assert answer.result()[0] == first
        wait_until(lambda: is_gone(first))
        second, _ = server.ask("/")

        answer = begun(server, pool)
        server.process.send_signal(signal.SIGTERM)
        assert answer.result()[0] == second != first
    assert server.process.wait(SECONDS) == 0
