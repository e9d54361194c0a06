"""What all tests share: the cast, a store of their own, and an empty Redis."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings
from redis import Redis

from gpu_worker.common.object_store import folder_backend

pytest_plugins = ["pytester"]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported until now stays to the end: the garbage collector needn't walk through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def redis(settings: Settings) -> Iterator[Redis]:
    """The Redis of this test process, empty."""
    with Redis.from_url(settings.REDIS_URL) as connection:
        connection.flushdb()
        yield connection


@pytest.fixture
def store(tmp_path: Path, settings: Settings) -> Path:
    """The folder in which this test's objects lie."""
    folder = tmp_path / "store"
    settings.STORAGES = settings.STORAGES | {"default": folder_backend(folder)}
    return folder
