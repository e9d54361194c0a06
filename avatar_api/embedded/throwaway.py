"""Both servers on fresh data that vanish afterwards."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avatar_api.embedded.postgres import Postgres
from avatar_api.embedded.server import ServerInUseError, hold_lock
from avatar_api.embedded.valkey import Valkey


@dataclass(frozen=True)
class Services:
    """Where the running services are."""

    database_url: str
    redis_url: str


@contextlib.contextmanager
def throwaway_services(home: Path) -> Iterator[Services]:
    """Start Postgres and Valkey on fresh data below `home` that vanish afterwards, for tests.

    Any number may run at once. Data that a crash left there are removed.
    """
    home.mkdir(parents=True, exist_ok=True)
    with hold_lock(home / "lock", wait=True):
        for abandoned in home.glob("*/"):
            _remove_unless_in_use(abandoned)
        own = Path(tempfile.mkdtemp(dir=home))
        in_use = hold_lock(own / "lock")
    try:
        with (
            Postgres(own / "postgres", durable=False) as postgres,
            Valkey(own / "valkey", durable=False) as valkey,
        ):
            yield Services(postgres.url, valkey.url)
    finally:
        shutil.rmtree(own)
        in_use.close()


def _remove_unless_in_use(directory: Path) -> None:
    try:
        with hold_lock(directory / "lock"):
            for server in (Postgres(directory / "postgres"), Valkey(directory / "valkey")):
                server.claim()
                server.release()
            shutil.rmtree(directory)
    except ServerInUseError:
        pass
