"""HTTP to addresses that strangers name: what is reached, what never is, and how long and large it gets.

Here 127.0.0.1 plays the public internet and 127.0.0.2 our own network.
"""

import asyncio
import contextlib
import hashlib
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from avatar_api.common import outbound
from avatar_api.common.outbound import (
    Fetched,
    ForbiddenAddressError,
    Interrupt,
    InterruptedExchangeError,
    InvalidUrlError,
    MinimumRate,
    OutboundError,
    Rules,
    TimedOutError,
    TooLargeError,
    TooManyRedirectsError,
    TooSlowError,
    UnexpectedStatusError,
    UnreachableError,
    calls,
)
from tests.jobs.loopback import OK, answering, certificate, redirect, repeating, serving, status

PUBLIC = ipaddress.ip_address("127.0.0.1")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Names:
    """A resolver that gives one answer after the other, and the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def rules(resolve: outbound.Resolver | None = None, **fields: Any) -> Rules:
    return Rules(
        schemes=fields.get("schemes", frozenset({"http", "https"})),
        may_reach=lambda address: address == PUBLIC,
        resolve=resolve or Names(["127.0.0.1"]),
        tls=fields.get("tls", outbound.system_trust()),
    )


def fetch(
    url: str,
    ruled: Rules | None = None,
    *,
    into: io.BytesIO | None = None,
    seconds: float = 5,
    **options: Any,
) -> Fetched:
    target = io.BytesIO() if into is None else into
    return outbound.fetch_to_file(
        url, target, max_bytes=100_000, seconds=seconds, rules=ruled or rules(), **options
    )


@pytest.fixture
def ended() -> Iterator[threading.Event]:
    """Tells a server that the test is over."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server with a certificate for media.example, and a client that trusts it."""
    return certificate(tmp_path, "media.example")


def test_a_file_is_fetched_with_its_size_and_digest(tmp_path: Path) -> None:
    target = tmp_path / "speech.wav"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 5\r\n\r\nhello"
    with serving(answering(answer)) as server:
        url = f"http://media.example:{server.port}/a.wav?x=1"
        fetched = outbound.fetch_to_file(url, target, max_bytes=5, seconds=5, rules=rules())
    assert fetched == Fetched("audio/wav", 5, hashlib.sha256(b"hello").hexdigest())
    assert target.read_bytes() == b"hello"
    assert server.heads[0].startswith("GET /a.wav?x=1 HTTP/1.1\r\n")
    assert f"Host: media.example:{server.port}" in server.heads[0]


class TestTls:
    def test_the_certificate_is_that_of_the_name_although_the_connection_goes_to_an_address(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        names: list[str | None] = []
        contexts[0].sni_callback = lambda _socket, name, _context: names.append(name)
        with serving(answering(OK), tls=contexts[0]) as server:
            fetch(f"https://media.example:{server.port}/", rules(tls=contexts[1]))
        assert names == ["media.example"]

    def test_another_names_certificate_is_refused(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        with serving(answering(OK), tls=contexts[0]) as server, pytest.raises(UnreachableError):
            fetch(f"https://other.example:{server.port}/", rules(tls=contexts[1]))
        assert server.requests == []

    def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        with serving(answering(OK), tls=contexts[0]) as server, pytest.raises(UnreachableError):
            fetch(f"https://media.example:{server.port}/")


class TestWhereItMayGo:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
            "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1",
            "::ffff:10.0.0.1", "::ffff:93.184.216.34", "::10.0.0.1", "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:0a00:0001::1", "2001:0:4136:e378::1", "100::1",
            "4000::1", "192.0.0.192", "192.0.0.9", "192.88.99.1", "3fff::1", "3fff:fff::1", "2001:20::1",
        ],
    )  # fmt: skip
    def test_addresses_that_are_not_on_the_public_internet_are_forbidden(self, address: str) -> None:
        with pytest.raises(ForbiddenAddressError):
            fetch("https://media.example/", Rules(resolve=Names([address])))

    @pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450::1"])
    def test_addresses_on_the_public_internet_are_not(self, address: str) -> None:
        assert outbound.is_public(ipaddress.ip_address(address))

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "127.1"])
    def test_no_way_to_write_our_own_address_is_a_way_around(self, host: str) -> None:
        with serving(answering(OK)) as server, pytest.raises((ForbiddenAddressError, UnreachableError)):
            fetch(f"https://{host}:{server.port}/", Rules())
        assert server.requests == []

    def test_one_private_address_among_public_ones_is_enough_to_refuse(self) -> None:
        with serving(answering(OK)) as server, pytest.raises(ForbiddenAddressError):
            fetch(f"http://media.example:{server.port}/", rules(Names(["127.0.0.1", "127.0.0.2"])))
        assert server.requests == []

    def test_a_name_that_changes_its_mind_is_reached_where_it_was_checked(self) -> None:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        with serving(answering(OK)) as server:
            fetch(f"http://media.example:{server.port}/", rules(names))
        assert (len(server.requests), names.asked) == (1, ["media.example"])

    def test_a_redirect_to_a_private_address_is_not_followed(self) -> None:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        with (
            serving(answering(OK), host="127.0.0.2") as inside,
            serving(answering(redirect(f"http://inside.example:{inside.port}/"))) as server,
            pytest.raises(ForbiddenAddressError),
        ):
            fetch(f"http://media.example:{server.port}/", rules(names))
        assert (len(server.requests), inside.requests) == (1, [])

    @pytest.mark.parametrize(
        "url", ["http://a.example/", "ftp://a.example/", "//a.example/", "file:///etc/passwd"]
    )
    def test_other_schemes_than_https_are_refused(self, url: str) -> None:
        with pytest.raises(InvalidUrlError):
            fetch(url, Rules(resolve=Names(["93.184.216.34"])))

    @pytest.mark.parametrize(
        "location", ["file:///etc/passwd", "http://plain.example/", "https://[", "gopher://x/"]
    )
    def test_a_redirect_to_another_scheme_is_refused(
        self, location: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        server_context, trust = contexts
        strict = rules(schemes=frozenset({"https"}), tls=trust)
        serves = serving(answering(redirect(location)), tls=server_context)
        with serves as server, pytest.raises(InvalidUrlError):
            fetch(f"https://media.example:{server.port}/", strict)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "https://",
            "https:///x",
            "https://a b/",
            "https://a\x00",
            "https://a:99999/",
            "https://a/" + 2048 * "a",
        ],
    )
    def test_malformed_addresses_are_refused(self, url: str) -> None:
        with pytest.raises(InvalidUrlError):
            fetch(url)

    def test_the_environments_proxies_are_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(answering(OK)) as proxy, serving(answering(OK)) as server:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
            fetch(f"http://media.example:{server.port}/")
        assert (len(server.requests), proxy.requests) == (1, [])

    def test_private_addresses_need_a_setting_that_production_refuses(self, settings: Settings) -> None:
        settings.OUTBOUND_ALLOW_PRIVATE = True
        with serving(answering(OK)) as server:
            outbound.fetch_to_file(f"http://127.0.0.1:{server.port}/", io.BytesIO(), max_bytes=9, seconds=5)
        call_command("check")
        settings.PRODUCTION = True
        with pytest.raises(SystemCheckError, match=r"jobs\.E001"):
            call_command("check")


class TestWhenAnAddressIsSet:
    @pytest.mark.parametrize(
        "host",
        ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[fe80::1]", "[fc00::1]", "[::ffff:10.0.0.1]",
         "2130706433", "0x7f.1", "127.1", "0.0.0.0"],
    )  # fmt: skip
    def test_a_private_literal_is_refused_and_the_setting_for_development_named(self, host: str) -> None:
        with pytest.raises(ForbiddenAddressError, match="OUTBOUND_ALLOW_PRIVATE"):
            outbound.check_when_set(f"https://{host}/hook")

    @pytest.mark.parametrize("url", ["http://localhost:3000/hook", "http://127.0.0.1:3000/hook"])
    def test_a_receiver_on_a_developers_machine_is_told_of_the_setting_before_the_scheme(
        self, url: str
    ) -> None:
        with pytest.raises(ForbiddenAddressError, match="OUTBOUND_ALLOW_PRIVATE"):
            outbound.check_when_set(url)

    @pytest.mark.parametrize("host", ["93.184.216.34", "[2606:4700:4700::1111]", "example.com", "localhost"])
    def test_public_literals_and_all_names_pass(self, host: str) -> None:
        assert outbound.check_when_set(f"https://{host}/hook").host == host.strip("[]")

    def test_a_developers_setting_lets_private_literals_pass(self, settings: Settings) -> None:
        settings.OUTBOUND_ALLOW_PRIVATE = True
        assert outbound.check_when_set("http://127.0.0.1:3000/hook").port == 3000


class TestAPost:
    def test_the_beginning_of_the_answer_is_kept(self) -> None:
        answer = b"HTTP/1.1 400 No\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
        with serving(answering(answer)) as server:
            url = f"http://media.example:{server.port}/"
            posted = asyncio.run(outbound.post(url, b"{}", {}, 5, answer_bytes=2048, rules=rules()))
        assert posted == outbound.Posted(400, b"x" * 2048)

    def test_a_status_counts_although_the_body_breaks_off(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nfine"
        with serving(answering(answer)) as server:
            url = f"http://media.example:{server.port}/"
            posted = asyncio.run(outbound.post(url, b"{}", {}, 5, answer_bytes=2048, rules=rules()))
        assert posted == outbound.Posted(200, b"fine")


class TestRedirects:
    def test_three_are_followed(self) -> None:
        hops = answering(redirect("/1"), redirect("/2"), redirect("3"), OK)
        with serving(hops) as server:
            assert fetch(f"http://media.example:{server.port}/a/0").size_bytes == 2
        assert [head.split()[1] for head in server.heads] == ["/a/0", "/1", "/2", "/3"]

    def test_a_fourth_is_not(self) -> None:
        with serving(answering(redirect("/again"))) as server, pytest.raises(TooManyRedirectsError):
            fetch(f"http://media.example:{server.port}/")
        assert len(server.requests) == 4

    def test_credentials_stay_with_the_address_that_holds_them(self) -> None:
        with (
            serving(answering(OK)) as other,
            serving(answering(redirect(f"http://other.example:{other.port}/"))) as server,
        ):
            fetch(f"http://alice:p%40ss@media.example:{server.port}/")
        assert "Authorization: Basic YWxpY2U6cEBzcw==" in server.heads[0]
        assert "authorization" not in other.heads[0].lower()

    def test_a_post_follows_none(self) -> None:
        with serving(answering(redirect("/elsewhere"))) as server:
            url = f"http://media.example:{server.port}/"
            posted = asyncio.run(outbound.post(url, b"{}", {}, 5, answer_bytes=9, rules=rules()))
        assert posted.status == 302
        assert len(server.requests) == 1


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


@pytest.mark.parametrize("ruled", [rules(Names(["127.0.0.2"])), rules(schemes=frozenset()), rules()])
def test_no_error_tells_what_is_secret_in_an_address(ruled: Rules, caplog: pytest.LogCaptureFixture) -> None:
    with serving(status(403)) as server, pytest.raises(OutboundError) as caught:
        fetch(f"http://alice:hunter2@media.example:{server.port}/signed?token=s3cret", ruled)
    shown = repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__) + caplog.text
    assert not any(secret in shown for secret in ("alice", "hunter2", "signed", "s3cret"))
