"""The cast: alice owns Acme, bob is a member of it, charlie owns another organization."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from redis import Redis

from accounts.models import ApiKey, Membership, Organization, User
from accounts.scopes import Role
from accounts.services import ALL_SCOPES, create_organization, mint_key


@dataclass(frozen=True)
class Key:
    """A key and its text, as its owner has it."""

    row: ApiKey
    text: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


def make_key(organization: Organization, *, livemode: bool = False, **fields: Any) -> Key:
    fields = {"name": "test", "scopes": ALL_SCOPES} | fields
    return Key(*mint_key(organization=organization, livemode=livemode, **fields))


def make_person(
    email: str, organization: Organization | None = None, role: str = Role.OWNER, **fields: Any
) -> User:
    user = User.objects.create_user(email, "correct horse battery staple", **fields)
    if organization is not None:
        Membership.objects.create(user=user, organization=organization, role=role)
    return user


@pytest.fixture(autouse=True)
def _fresh_counters(redis: Redis) -> None:
    """Rate limits start anew with every test."""


@pytest.fixture
def acme(db: None) -> Organization:
    return create_organization(name="Acme", plan="pro")


@pytest.fixture
def globex(db: None) -> Organization:
    return create_organization(name="Globex", plan="pro")


@pytest.fixture
def alice(acme: Organization) -> User:
    return make_person("alice@example.com", acme, Role.OWNER)


@pytest.fixture
def bob(acme: Organization) -> User:
    return make_person("bob@example.com", acme, Role.MEMBER)


@pytest.fixture
def charlie(globex: Organization) -> User:
    return make_person("charlie@example.com", globex, Role.OWNER)


@pytest.fixture
def acme_key(acme: Organization) -> Key:
    return make_key(acme)


@pytest.fixture
def globex_key(globex: Organization) -> Key:
    return make_key(globex)


@pytest.fixture
def api() -> Client:
    """A client that enforces CSRF, as browsers meet it."""
    return Client(enforce_csrf_checks=True)
