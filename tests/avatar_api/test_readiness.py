"""`/readyz` says what is down, soon, and whatever hangs takes nothing with it."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.test import Client
from environs import Env
from pytest_django import Settings
from redis import Redis

from avatar_api.common import health
from avatar_api.common.background_check import BackgroundCheck
from gpu_worker.common.object_store import storage_backend


@pytest.fixture(autouse=True)
def _fresh_checks() -> Iterator[None]:
    health._checks.cache_clear()
    yield
    health._checks.cache_clear()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.mark.usefixtures("redis", "store")
def test_all_is_well() -> None:
    response = Client().get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
    assert set(response.json()["checks"]) == {"database", "redis", "storage"}
    assert "details" not in response.json()


@pytest.mark.usefixtures("redis")
def test_eight_who_ask_while_the_store_hangs_are_told_and_one_thread_waits(
    silent_port: int, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "R2_BUCKET"):
        monkeypatch.setenv(name, "name")
    monkeypatch.setenv("R2_ENDPOINT_URL", f"http://127.0.0.1:{silent_port}")
    settings.STORAGES = settings.STORAGES | {"default": storage_backend(Env(), tmp_path)}
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: Client().get("/readyz"), range(8)))
    assert {response.status_code for response in responses} == {503}
    checks = responses[0].json()["checks"]
    assert (checks["storage"]["ok"], checks["database"]["ok"], checks["redis"]["ok"]) == (False, True, True)
    assert sum(thread.name == "storage" for thread in threading.enumerate()) == 1


@pytest.mark.usefixtures("store")
def test_a_redis_that_takes_no_writes_is_down(redis: Redis) -> None:
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", 1)
    try:
        response = Client().get("/readyz")
    finally:
        redis.config_set("maxmemory", 0)
    assert (response.status_code, response.json()["checks"]["redis"]["ok"]) == (503, False)


@pytest.mark.usefixtures("store")
def test_a_redis_that_evicts_is_told(redis: Redis) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        response = Client().get("/readyz")
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    assert response.status_code == 200
    assert response.json()["details"]["redis"] == {"ok": False, "maxmemory_policy": "allkeys-lru"}


def test_an_outcome_is_told_again_for_a_moment_and_then_asked_for_anew() -> None:
    asked = []
    for kept, times in ((600.0, 1), (0.0, 3)):
        asked.clear()
        check = BackgroundCheck("counted", lambda: asked.append(1), timeout=600.0, kept=kept)
        for _ in range(3):
            check.start()
            assert check.outcome().ok
        assert len(asked) == times
