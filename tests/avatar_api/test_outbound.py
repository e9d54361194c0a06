"""HTTP to addresses that strangers name: what is reached, and what never is.

Here 127.0.0.1 plays the public internet and 127.0.0.2 our own network.
"""

import asyncio
import hashlib
import io
import ipaddress
import ssl
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django import Settings

from avatar_api.common import outbound
from avatar_api.common.outbound import (
    Fetched,
    ForbiddenAddressError,
    InvalidUrlError,
    OutboundError,
    Rules,
    TooManyRedirectsError,
    UnreachableError,
)
from tests.avatar_api.fetching import Names, fetch, rules
from tests.jobs.loopback import OK, answering, certificate, redirect, serving, status


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


@pytest.mark.parametrize("ruled", [rules(Names(["127.0.0.2"])), rules(schemes=frozenset()), rules()])
def test_no_error_tells_what_is_secret_in_an_address(ruled: Rules, caplog: pytest.LogCaptureFixture) -> None:
    with serving(status(403)) as server, pytest.raises(OutboundError) as caught:
        fetch(f"http://alice:hunter2@media.example:{server.port}/signed?token=s3cret", ruled)
    shown = repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__) + caplog.text
    assert not any(secret in shown for secret in ("alice", "hunter2", "signed", "s3cret"))
