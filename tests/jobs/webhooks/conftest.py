"""Programs that receive messages."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.jobs.loopback import OK, Server, answering, serving, status


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    settings.OUTBOUND_ALLOW_PRIVATE = True
    settings.PUBLIC_URL = "https://api.example"


@pytest.fixture
def receiver() -> Iterator[Server]:
    """A program that takes every message."""
    with serving(answering(OK)) as server:
        yield server


@pytest.fixture
def refuser() -> Iterator[Server]:
    """A program that takes none."""
    with serving(status(500)) as server:
        yield server
