"""A whole stack for the tests that speak to it as customers do."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from launcher import stack

START_SECONDS = 300


@dataclass(frozen=True)
class Live:
    """A running deployment, and a key of it that no rate limit stops."""

    url: str
    port: int
    key: str
    state: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running_stack(tmp_path_factory.mktemp("stack")) as live:
        _lift_limits(live.state)
        yield live


@contextmanager
def running_stack(state: Path, **environment: str) -> Iterator[Live]:
    """What `make run` starts, with its state in a folder of its own and a key for tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", "REDIS_URL", "STORAGE_DIR"):
            patch.delenv(name, raising=False)
        for name, value in {"DJANGO_SETTINGS_MODULE": "avatar_api.settings.local", **environment}.items():
            patch.setenv(name, value)
        patch.setattr(stack, "STATE", state)
        patch.setattr(stack, "DEMO_FILE", state / "demo.json")
        started: Future[tuple[stack.Stack, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(_keep_running(started, state / "log")))
        thread.start()
        running, loop, stop = started.result(START_SECONDS)
        try:
            port = int(running.url.rsplit(":", 1)[1])
            yield Live(running.url, port, running.demo.api_key, state)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()


async def _keep_running(
    started: "Future[tuple[stack.Stack, asyncio.AbstractEventLoop, asyncio.Event]]", log: Path
) -> None:
    stop = asyncio.Event()
    try:
        with log.open("w", buffering=1) as lines:
            async with stack.running(lambda name, line: print(name, line, file=lines), None) as running:
                started.set_result((running, asyncio.get_running_loop(), stop))
                await stop.wait()
    except BaseException as error:
        if not started.done():
            started.set_exception(error)
        raise


def _lift_limits(state: Path) -> None:
    with psycopg.connect(stack.Postgres(state / "postgres").url) as database:
        database.execute("UPDATE accounts_apikey SET create_per_minute = 100000, read_per_minute = 100000")
