import pytest
from rest_framework.test import APIClient

from accounts.models import Organization
from tests import factories
from tests.jobs.clients import keyed, png, wav


@pytest.fixture
def acme(db: None) -> Organization:
    """The organization of alice and bob."""
    return factories.organization("Acme")


@pytest.fixture
def initech(db: None) -> Organization:
    """Charlie's organization, a stranger to Acme."""
    return factories.organization("Initech")


@pytest.fixture
def client() -> APIClient:
    return APIClient()


@pytest.fixture
def acme_client(acme: Organization) -> APIClient:
    """A program that holds a test key of Acme."""
    return keyed(factories.key(acme))


@pytest.fixture
def portrait() -> bytes:
    """A picture of 256 × 320 as PNG."""
    return png(256, 320)


@pytest.fixture
def speech() -> bytes:
    """Half a second of a tone as WAV, mono, 16 kHz."""
    return wav(0.5)
