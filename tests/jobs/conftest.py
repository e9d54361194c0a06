import pytest

from accounts.models import Organization
from tests import factories


@pytest.fixture
def acme(db: None) -> Organization:
    """The organization of alice and bob."""
    return factories.organization("Acme")


@pytest.fixture
def initech(db: None) -> Organization:
    """Charlie's organization, a stranger to Acme."""
    return factories.organization("Initech")
