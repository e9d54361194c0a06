"""`manage.py createuser EMAIL --organization NAME`: a person who can log in; prints the password, once."""

import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts.management.commands.createapikey import find_organization
from accounts.models import Membership, User
from accounts.scopes import Role


class Command(BaseCommand):
    help = (
        "Creates a person with a password that is printed once, and makes them a member of an organization. "
        "A person who exists already keeps the password and becomes a member."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--organization", required=True, metavar="NAME")
        parser.add_argument("--role", choices=Role.values, default=Role.MEMBER.value)
        parser.add_argument("--name", default="")

    @transaction.atomic
    def handle(self, *args: Any, email: str, organization: str, role: str, name: str, **options: Any) -> None:
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is no e-mail address.") from error
        joined = find_organization(organization)
        user = User.objects.filter(email=email.strip().lower()).first()
        if user is None:
            password = secrets.token_urlsafe(15)
            user = User.objects.create_user(email, password, name=name)
            self.stdout.write(password)
        membership, is_new = Membership.objects.get_or_create(
            organization=joined, user=user, defaults={"role": role}
        )
        if not is_new and membership.role != role:
            membership.role = role
            membership.save(update_fields=["role"])
