"""What customers notice of a server that was restarted: nothing."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor

import psycopg

from launcher import stack
from tests.e2e.conftest import Live

REQUESTS = 24
AT_ONCE = 8


def status_of_a_request(live: Live) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=120)
    connection.request("GET", "/v1/me", headers=live.headers)
    response = connection.getresponse()
    json.load(response)
    connection.close()
    return response.status


def test_no_request_fails_after_the_database_has_cut_every_connection(live: Live) -> None:
    with ThreadPoolExecutor(AT_ONCE) as crowd:  # Every thread has had a connection.
        assert set(crowd.map(status_of_a_request, [live] * REQUESTS)) == {200}
    with psycopg.connect(stack.Postgres(live.state / "postgres").url) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"  # Waits until it is cut.
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    assert {status_of_a_request(live) for _ in range(REQUESTS)} == {200}
