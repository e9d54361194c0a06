"""How long and how large what strangers serve may get."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from avatar_api.common.outbound import (
    Interrupt,
    InterruptedExchangeError,
    MinimumRate,
    TimedOutError,
    TooLargeError,
    TooSlowError,
    UnexpectedStatusError,
    UnreachableError,
    calls,
)
from tests.avatar_api.fetching import CHUNKED, fetch, rules
from tests.jobs.loopback import OK, answering, repeating, serving, status


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """Tells a server that the test is over."""
    event = threading.Event()
    yield event
    event.set()


class TestHowLongAndHowLarge:
    def test_a_file_that_is_announced_too_large_is_not_even_begun(self, ended: threading.Event) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"
        with serving(repeating(head, b"x", ended)) as server, pytest.raises(TooLargeError):
            fetch(f"http://media.example:{server.port}/")

    @pytest.mark.parametrize(
        ("head", "piece"),
        [(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096), (CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n")],
    )
    def test_an_endless_body_is_cut_at_the_limit(
        self, head: bytes, piece: bytes, ended: threading.Event
    ) -> None:
        target = io.BytesIO()
        with serving(repeating(head, piece, ended)) as server, pytest.raises(TooLargeError):
            fetch(f"http://media.example:{server.port}/", into=target)
        assert len(target.getvalue()) <= 100_000

    @pytest.mark.parametrize(
        "beginning",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: ",
            b"",
        ],
        ids=["body", "body without length", "header", "status line"],
    )
    def test_a_server_that_drips_is_cut_off_in_time(self, beginning: bytes, ended: threading.Event) -> None:
        with serving(repeating(beginning, b"x", ended)) as server, pytest.raises(TimedOutError):
            fetch(f"http://media.example:{server.port}/", seconds=0.3)

    @pytest.mark.parametrize("piece", [b"x", b""], ids=["drips", "says no more"])
    def test_a_file_that_comes_slower_than_the_minimum_rate_is_given_up(self, piece: bytes) -> None:
        def answer(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 5000)
            while piece:
                connection.sendall(piece)
                time.sleep(0.02)
            connection.recv(1)  # Until the client leaves.

        rate = MinimumRate(bytes_per_second=20_000, seconds=0.5)
        with serving(answer) as server, pytest.raises(TooSlowError):
            fetch(f"http://media.example:{server.port}/", seconds=60, minimum_rate=rate)

    def test_a_file_that_comes_fast_enough_may_take_many_periods(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin_period, periods = calls.PacedBody._begin_period, threading.Semaphore(0)

        def begin(body: calls.PacedBody) -> None:
            begin_period(body)
            periods.release()

        def answer(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
            for _ in range(3):
                periods.acquire()
                connection.sendall(b"x" * 10_000)

        monkeypatch.setattr(calls.PacedBody, "_begin_period", begin)
        rate = MinimumRate(bytes_per_second=10_000, seconds=0.5)
        with serving(answer) as server:
            fetched = fetch(f"http://media.example:{server.port}/", seconds=60, minimum_rate=rate)
        assert fetched.size_bytes == 30_000

    @pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
    def test_another_thread_can_give_it_up_at_any_moment(
        self, beginning: bytes, ended: threading.Event
    ) -> None:
        interrupt = Interrupt()

        def answer(connection: socket.socket) -> None:
            connection.sendall(beginning)
            interrupt.request()
            ended.wait()

        with contextlib.ExitStack() as stack:
            server = stack.enter_context(serving(answer))
            stack.callback(ended.set)
            stack.enter_context(pytest.raises(InterruptedExchangeError))
            fetch(f"http://media.example:{server.port}/", seconds=600, interrupt=interrupt)

    def test_what_was_given_up_before_it_began_asks_nobody(self) -> None:
        interrupt = Interrupt()
        interrupt.request()
        with serving(answering(OK)) as server, pytest.raises(InterruptedExchangeError):
            fetch(f"http://media.example:{server.port}/", interrupt=interrupt)
        assert server.requests == []

    def test_a_server_that_never_shakes_hands_is_cut_off_in_time(self, ended: threading.Event) -> None:
        with serving(answering(b"")) as server, pytest.raises(TimedOutError):
            fetch(f"https://media.example:{server.port}/", seconds=0.3)

    def test_a_resolver_that_does_not_answer_is_not_waited_for(self, ended: threading.Event) -> None:
        def asleep(host: str, port: int) -> list[str]:
            ended.wait()
            return ["127.0.0.1"]

        with pytest.raises(TimedOutError):
            fetch("http://media.example/", rules(asleep), seconds=0.1)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
            b"",
        ],
        ids=["a huge header", "many headers", "not HTTP", "breaks off", "silence"],
    )
    def test_what_is_not_proper_http_is_a_failure(self, answer: bytes) -> None:
        with serving(answering(answer)) as server, pytest.raises(UnreachableError):
            fetch(f"http://media.example:{server.port}/")

    def test_another_status_is_told(self) -> None:
        with serving(status(404)) as server, pytest.raises(UnexpectedStatusError) as caught:
            fetch(f"http://media.example:{server.port}/")
        assert caught.value.status == 404

    def test_a_closed_port_is_a_failure(self) -> None:
        with serving(answering(OK)) as server:
            pass
        with pytest.raises(UnreachableError):
            fetch(f"http://media.example:{server.port}/")
