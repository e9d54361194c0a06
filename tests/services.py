"""A pytest plugin that starts Postgres and Valkey for the session where the environment names none.

Loaded by `-p tests.services` in pyproject.toml, since the addresses must be known before
pytest-django reads the settings, which is earlier than any conftest. Workers of pytest-xdist
inherit the environment, so one pair of servers serves them all.
"""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from avatar_api.embedded import throwaway_services

SCRATCH = Path(__file__).resolve().parents[1] / ".avatar" / "tests"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, None, None]:
    if not {"DATABASE_URL", "REDIS_URL"} <= os.environ.keys():
        running = throwaway_services(SCRATCH)
        services = running.__enter__()
        early_config.add_cleanup(lambda: running.__exit__(None, None, None))
        os.environ.setdefault("DATABASE_URL", services.database_url)
        os.environ.setdefault("REDIS_URL", services.redis_url)
    return (yield)
