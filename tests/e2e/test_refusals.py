"""A refusal must not break the next request on the same connection, whichever client keeps it open."""

import http.client
import json
import shutil
import subprocess
from collections import Counter
from itertools import cycle, islice

import httpx
import pytest
import requests

from tests.e2e.conftest import Live

BODY = b"x" * 300_000
REFUSALS = 2000
FEWER = 300  # Where another client shows the same.
REQUESTS = (
    ("POST", "/v1/jobs", {"Authorization": "Bearer av_live_nonsense"}, 401),
    ("POST", "/v1/jobs", {}, 401),
    ("POST", "/v1/nowhere", {}, 404),
    ("PUT", "/v1/files/nonsense", {}, 404),
    ("PUT", "/v1/me", {}, 401),
    ("POST", "/healthz", {}, 405),
)

# Reads the requests from its arguments; says which statuses came, and how often a request broke.
FETCH = """
const [url, list, refusals, size] = process.argv.slice(1);
const requests = JSON.parse(list), found = {};
for (let number = 0; number < Number(refusals); number++) {
  const [method, path, headers] = requests[number % requests.length];
  const body = "x".repeat(number % 40 < requests.length ? Number(size) : 3000);
  let result = "broken";
  try {
    const answer = await fetch(url + path, { method, headers, body });
    await answer.text();
    result = answer.status;
  } catch {}
  found[result] = (found[result] ?? 0) + 1;
}
console.log(JSON.stringify(found));
"""


def test_two_thousand_refusals_in_a_row_break_no_connection(live: Live) -> None:
    statuses: Counter[int] = Counter()
    with httpx.Client(base_url=live.url, timeout=120, limits=httpx.Limits(max_connections=1)) as client:
        for number, (method, path, headers, _) in enumerate(islice(cycle(REQUESTS), REFUSALS)):
            size = len(BODY) if number % 40 < len(REQUESTS) else 3000
            statuses[client.request(method, path, headers=headers, content=BODY[:size]).status_code] += 1
    assert statuses.total() == REFUSALS
    assert set(statuses) == {401, 404, 405}


def test_a_session_of_requests_breaks_at_no_refusal(live: Live) -> None:
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        for number, (method, path, headers, _) in enumerate(islice(cycle(REQUESTS), FEWER)):
            size = len(BODY) if number % 40 < len(REQUESTS) else 3000
            answer = session.request(method, live.url + path, headers=headers, data=BODY[:size], timeout=60)
            statuses[answer.status_code] += 1
    assert (statuses.total(), set(statuses)) == (FEWER, {401, 404, 405})


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js isn't installed")
def test_fetch_of_node_breaks_at_no_refusal(live: Live) -> None:
    asked = [live.url, json.dumps(REQUESTS), str(FEWER), str(len(BODY))]
    command = ["node", "--input-type=module", "--eval", FETCH, *asked]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    statuses: dict[str, int] = json.loads(done.stdout)
    assert (sum(statuses.values()), set(statuses)) == (FEWER, {"401", "404", "405"})


@pytest.mark.parametrize(("method", "path", "headers", "status"), REQUESTS)
def test_the_connection_serves_the_next_request(
    live: Live, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=120)
    for _ in range(3):
        connection.request(method, path, BODY, headers)
        response = connection.getresponse()
        response.read()
        assert (response.status, response.headers["Connection"]) == (status, None)
        first = connection.sock
        assert first is not None
    connection.request("GET", "/v1/me", headers=live.headers)
    assert connection.getresponse().status == 200
    assert connection.sock is first
    connection.close()


def test_a_body_too_large_to_discard_is_answered_and_the_end_announced(live: Live) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=120)
    connection.request("POST", "/v1/jobs", b"x" * 9_000_000, {"Authorization": "Bearer nonsense"})
    response = connection.getresponse()
    assert (response.status, response.headers["Connection"]) == (401, "close")
    connection.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")
def test_curl_reuses_the_connection_after_a_refusal(live: Live) -> None:
    refused = [f"{live.url}/v1/nowhere", "--data-binary", "@-", "-o", "/dev/null"]
    following = ["--next", f"{live.url}/healthz", "-o", "/dev/null"]
    written = ["-sS", "-w", "%{http_code} %{num_connects}\n"]
    done = subprocess.run(
        ["curl", *written, *refused, *following[:1], *written, *following[1:]],
        input=BODY,
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.decode().split("\n")[:2] == ["404 1", "200 0"]
