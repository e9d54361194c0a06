"""`manage.py seeddemo FILE`: what a laptop needs to try the API, made once and found again."""

import json
import secrets
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from accounts import api_keys
from accounts.models import ApiKey, Membership, Organization, User
from accounts.scopes import Role, Scope
from accounts.services import create_organization, mint_key

ORGANIZATION = "demo"
EMAIL = "demo@example.com"
GUEST_EMAIL = "guest@example.com"


class Command(BaseCommand):
    help = (
        "Makes an organization with a test key, an operator who may log in to the admin, and a guest for the "
        "playground, and writes both secrets to FILE, which nobody else may read. What FILE holds is kept "
        "while it works."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    @transaction.atomic
    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        known = json.loads(file.read_text()) if file.exists() else {}
        organization = Organization.objects.filter(name=ORGANIZATION).first() or create_organization(
            name=ORGANIZATION
        )
        make_guest(organization)
        account = {
            "organization": ORGANIZATION,
            "api_key": working_key(organization, known.get("api_key", "")),
            "email": EMAIL,
            "password": working_password(organization, known.get("password", "")),
        }
        file.touch(mode=0o600)
        file.write_text(json.dumps(account, indent=2) + "\n")


def working_key(organization: Organization, known: str) -> str:
    """The known key if it still works, else a new one."""
    if known:
        parsed = api_keys.parse(known)
        row = ApiKey.objects.for_organization(organization, livemode=False).filter(pk=parsed.id).first()
        if row and row.state() == ApiKey.State.ACTIVE and api_keys.verify(parsed, row.secret_sha256):
            return known
    _, key = mint_key(organization=organization, livemode=False, name="demo", scopes=frozenset(Scope.values))
    return key


def working_password(organization: Organization, known: str) -> str:
    """The operator's known password if it still works, else a new one."""
    user = User.objects.filter(email=EMAIL).first() or User.objects.create_superuser(EMAIL)
    Membership.objects.get_or_create(organization=organization, user=user, defaults={"role": Role.OWNER})
    if known and user.check_password(known):
        return known
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def make_guest(organization: Organization) -> None:
    """A member without a password: the playground of a laptop signs them in with a click."""
    guest = User.objects.filter(email=GUEST_EMAIL).first() or User.objects.create_user(GUEST_EMAIL)
    Membership.objects.get_or_create(organization=organization, user=guest, defaults={"role": Role.MEMBER})
