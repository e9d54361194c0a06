"""A Redis that is frozen: it takes connections and answers nothing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from redis import exceptions

from accounts import rate_limits
from accounts.models import Organization
from avatar_api.common import redis as clients
from avatar_api.embedded.valkey import Valkey
from tests import factories
from tests.jobs.clients import keyed

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def valkey(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """A server of the test's own, that this process finds working again afterwards."""
    monkeypatch.setattr(clients, "absence", clients.Absence())
    with Valkey(tmp_path / "valkey") as server:
        settings.REDIS_URL = server.url
        rate_limits.limiter.cache_clear()
        yield server
    rate_limits.limiter.cache_clear()


@pytest.fixture
def frozen(valkey: Valkey) -> Iterator[Valkey]:
    with clients.redis_client() as redis:
        pid = int(redis.info("server")["process_id"])  # type: ignore[index, arg-type]
    os.kill(pid, signal.SIGSTOP)
    yield valkey
    os.kill(pid, signal.SIGCONT)


def time_outs(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a command was waited for in vain, as it happens."""
    found: list[float] = []
    begin = clients.Absence.begin

    def note(absence: clients.Absence) -> None:
        if not absence.lasts:
            found.append(time.monotonic())
        begin(absence)

    monkeypatch.setattr(clients.Absence, "begin", note)
    return found


def test_a_list_and_an_order_wait_for_one_command_each(
    acme: Organization, frozen: Valkey, portrait: bytes, speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "AWAY_SECONDS", 60)
    client = keyed(factories.key(acme))
    factories.job(acme)
    waited = time_outs(monkeypatch)
    assert client.get("/v1/jobs").status_code == 200
    assert len(waited) == 1
    monkeypatch.setattr(clients, "absence", clients.Absence())
    files = {
        "image": SimpleUploadedFile("a.png", portrait),
        "audio": SimpleUploadedFile("a.wav", speech),
    }
    assert client.post("/v1/jobs", files, format="multipart").status_code == 202
    assert len(waited) == 2


def test_after_one_time_out_further_commands_fail_at_once(
    frozen: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "AWAY_SECONDS", 60)
    with clients.redis_client() as redis, pytest.raises(exceptions.TimeoutError):
        redis.get("key")
    with clients.redis_client() as redis, pytest.raises(exceptions.ConnectionError, match="a moment ago"):
        redis.get("key")


def test_redis_is_asked_again_after_a_moment(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "AWAY_SECONDS", 60)
    clients.absence.begin()
    with clients.redis_client() as redis:
        with pytest.raises(exceptions.ConnectionError):
            redis.ping()
        monkeypatch.setattr(clients, "AWAY_SECONDS", 0)
        clients.absence.begin()
        assert redis.ping()
