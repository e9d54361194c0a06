"""Whatever bytes come, the answer is a documented problem, and nothing is left behind."""

import contextlib
import json
import socket
import time
from pathlib import Path

import pytest

from avatar_api.common.problems import CODES, MEDIA_TYPE
from tests.e2e.conftest import Live
from tests.jobs.clients import png, wav

SECONDS = 120


def exchange(live: Live, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; the answer's status, headers and body. The server closes."""
    with socket.create_connection(("127.0.0.1", live.port), timeout=SECONDS) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)  # A server that has heard enough answers and hangs up.
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # It didn't read everything that was sent.
            while received := connection.recv(65536):
                answer += received
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, body


def request(
    live: Live,
    method: str,
    target: str | bytes,
    body: bytes = b"",
    *,
    length: int | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """One request with the key; `content_type="…"` becomes Content-Type."""
    target = target.encode() if isinstance(target, str) else target
    sent = {
        "Host": "127.0.0.1",
        "Connection": "close",
        "Content-Length": str(len(body) if length is None else length),
        **live.headers,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = b"".join(f"{name}: {value}\r\n".encode("latin1") for name, value in sent.items())
    return exchange(live, method.encode() + b" " + target + b" HTTP/1.1\r\n" + head + b"\r\n" + body)


def problem(answer: tuple[int, dict[str, str], bytes]) -> str:
    """The code of an answer, which is a documented problem."""
    status, headers, body = answer
    assert headers["content-type"] == MEDIA_TYPE
    told = json.loads(body)
    assert told["status"] == status == CODES[told["code"]].status
    assert told["instance"] == headers["x-request-id"]
    return str(told["code"])


def post_json(live: Live, body: bytes, target: str = "/v1/webhooks") -> str:
    return problem(request(live, "POST", target, body, content_type="application/json"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "parse_error"),
        (b"\x00", "parse_error"),
        (b"\xff\xfe{}", "parse_error"),
        (b'{"url": "\xed\xa0\x80"}', "parse_error"),
        (b'{"url": "\\ud800"}', "parse_error"),
        (b"[" * 10_000 + b"]" * 10_000, "parse_error"),
        (b'{"url": ' * 10_000, "parse_error"),
        (b'{"url": NaN}', "parse_error"),
        (b'{"url": 1e999}', "validation_error"),
        (b'{"url": -1}', "validation_error"),
        (b'{"url": ' + b"9" * 4000 + b"}", "validation_error"),
        (b'{"url": "a\\u0000b"}', "validation_error"),
        (b'{"url": "a", "url": "b"}', "validation_error"),
        (b'{"nonsense": 1}', "validation_error"),
        (b"[]", "validation_error"),
        (b'"text"', "validation_error"),
        (b'{"url": "' + b"a" * 10_000_000 + b'"}', "payload_too_large"),
    ],
    ids=lambda value: value[:24].decode("latin1") if isinstance(value, bytes) else value,
)
def test_a_body_that_is_no_good_json_is_refused(live: Live, body: bytes, code: str):
    assert post_json(live, body) == code


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""])
def test_another_media_type_is_refused(live: Live, content_type: str):
    answer = request(live, "POST", "/v1/jobs", b"a=b", content_type=content_type)
    assert problem(answer) == "unsupported_media_type"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    kind = f'; filename="{filename}"' if filename else ""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{kind}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--x--\r\n"


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (END, "multipart/form-data; boundary=x", "validation_error"),
        (b"", "multipart/form-data; boundary=x", "parse_error"),
        (END, "multipart/form-data", "parse_error"),
        (END, "multipart/form-data; boundary=", "parse_error"),
        (b"no parts at all", "multipart/form-data; boundary=x", "parse_error"),
        (part("prompt", b"a") * 2 + END, "multipart/form-data; boundary=x", "validation_error"),
        (part("image", b"a", "a.png") * 2 + END, "multipart/form-data; boundary=x", "validation_error"),
        (part("prompt", b"a") * 500 + END, "multipart/form-data; boundary=x", "parse_error"),
        (part("prompt", b"\xff\xfe") + END, "multipart/form-data; boundary=x", "validation_error"),
        (part("prompt", b"\x00") + END, "multipart/form-data; boundary=x", "validation_error"),
        (part("image", b"", "a.png") + END, "multipart/form-data; boundary=x", "validation_error"),
        (
            part("image", b"no image", "../../a.png") + END,
            "multipart/form-data; boundary=x",
            "validation_error",
        ),
        (part("seed", b"-1") + END, "multipart/form-data; boundary=x", "validation_error"),
        (part("seed", b"9" * 5000) + END, "multipart/form-data; boundary=x", "validation_error"),
        (part("prompt", b"a" * 9_000_000) + END, "multipart/form-data; boundary=x", "payload_too_large"),
        (part("metadata", b"[" * 10_000) + END, "multipart/form-data; boundary=x", "validation_error"),
    ],
    ids=lambda value: value[:60].decode("latin1") if isinstance(value, bytes) else value,
)
def test_a_form_that_is_no_good_is_refused(live: Live, body: bytes, content_type: str, code: str):
    assert problem(request(live, "POST", "/v1/jobs", body, content_type=content_type)) == code


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/v1/jobs/%00", "not_found"),
        ("/v1/jobs/%ff%fe", "not_found"),
        ("/v1/jobs/%ed%a0%80", "not_found"),
        ("/v1/jobs/job_" + "z" * 4000, "not_found"),
        ("/v1/jobs/..%2f..%2fetc%2fpasswd", "not_found"),
        ("/v1/jobs/'%20OR%201=1--", "not_found"),
        ("/v1/assets/%00", "not_found"),
        ("/v1/webhooks/%00/deliveries", "not_found"),
        ("/v1/api-keys", None),
        ("/v1/nothing", "not_found"),
        ("/v1/jobs?cursor=%00", "validation_error"),
        ("/v1/jobs?cursor=%ff", "validation_error"),
        ("/v1/jobs?cursor=nonsense", "validation_error"),
        ("/v1/jobs?limit=0", "validation_error"),
        ("/v1/jobs?limit=-1", "validation_error"),
        ("/v1/jobs?limit=99999999999999999999", "validation_error"),
        ("/v1/jobs?limit=%D9%A1", "validation_error"),
        ("/v1/jobs?status=%00", "validation_error"),
        ("/v1/jobs?created_after=9999999-01-01T00:00:00Z", "validation_error"),
        ("/v1/jobs?created_after=2026-02-30T00:00:00Z", "validation_error"),
        ("/v1/jobs?metadata[%00]=x", "validation_error"),
        ("/v1/jobs?nonsense=1", "validation_error"),
        ("/v1/usage?from=0000-00-00", "validation_error"),
        ("/v1/usage?from=%00", "validation_error"),
        ("/v1/files/%00", "not_found"),
        ("/v1/files/nonsense", "not_found"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(live: Live, target: str, code: str | None):
    answer = request(live, "GET", target)
    if code is None:
        assert answer[0] == 200
    else:
        assert problem(answer) == code


@pytest.mark.parametrize(
    "target", [b"/v1/jobs?status=\xff\xfe", b"/v1/jobs?\xed\xa0\x80=1"], ids=["no UTF-8", "half a surrogate"]
)
def test_a_query_of_any_bytes_is_refused(live: Live, target: bytes):
    status, headers, body = request(live, "GET", target)
    assert status in (400, 422)
    if body:
        assert problem((status, headers, body)) in ("parse_error", "validation_error")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_is_not_offered_is_refused(live: Live, method: str):
    answer = request(live, method, "/v1/jobs")
    assert problem(answer) == "method_not_allowed"
    assert set(answer[1]["allow"].split(", ")) >= {"GET", "POST"}


def uploads(live: Live) -> set[Path]:
    """Files that uploads leave on the disk: temporary ones, and stored ones."""
    temporary = {path for path in Path("/tmp").glob("*.upload*") if path.exists()}
    return temporary | {path for path in (live.state / "store").rglob("*") if path.is_file()}


@pytest.fixture
def form() -> bytes:
    return part("image", png(256, 320), "a.png") + part("audio", wav(0.5), "a.wav") + END


def test_a_client_that_hangs_up_in_the_middle_of_an_upload_leaves_nothing_behind(live: Live, form: bytes):
    before, jobs = uploads(live), count_of_jobs(live)
    for cut in (10, len(form) // 2, len(form) - 3):
        head = (
            f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {live.key}\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(form)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", live.port), timeout=SECONDS) as connection:
            connection.sendall(head.encode() + form[:cut])
    deadline = time.monotonic() + SECONDS
    while uploads(live) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert uploads(live) - before == set()
    assert count_of_jobs(live) == jobs


def count_of_jobs(live: Live) -> int:
    return len(json.loads(request(live, "GET", "/v1/jobs?limit=100")[2])["data"])


def test_a_body_longer_than_announced_is_cut_and_refused(live: Live, form: bytes):
    answer = request(
        live, "POST", "/v1/jobs", form, length=len(form) // 2, content_type="multipart/form-data; boundary=x"
    )
    assert answer[0] in (400, 422)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(b"GARBAGE", 400, id="no request line"),
        pytest.param(b"GET /v1/jobs HTTP/1.1\r\nHost 127.0.0.1", 400, id="no header"),
        pytest.param(b"POST /v1/jobs HTTP/1.1\r\nContent-Length: many", 400, id="no length"),
        pytest.param(b"GET /%s HTTP/1.1" % (b"x" * 65_535), 414, id="a long address"),
        pytest.param(b"GET /v1/jobs HTTP/1.1" + b"\r\nX: y" * 101, 431, id="many headers"),
        pytest.param(b"GET /v1/jobs HTTP/1.1\r\nX: " + b"y" * 4_000_000, 431, id="large headers"),
    ],
)
def test_what_is_no_http_is_answered_by_the_server_itself(live: Live, head: bytes, expected: int):
    """As the small print of docs/API.md says; that the connection is closed is what `exchange` waits for."""
    status, headers, body = exchange(live, head + b"\r\n\r\n")
    assert (status, body) == (expected, b"")
    assert "x-request-id" not in headers
