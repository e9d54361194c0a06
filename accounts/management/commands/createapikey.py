"""`manage.py createapikey --organization NAME --mode test|live`: prints the key, once."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.models import Organization
from accounts.scopes import Scope
from accounts.services import mint_key

DEFAULT_SCOPES = [Scope.JOBS_READ.value, Scope.JOBS_WRITE.value]


class Command(BaseCommand):
    help = "Mints an API key and prints it, and nothing else, on standard output. It is shown only once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, metavar="NAME")
        parser.add_argument("--mode", required=True, choices=["test", "live"])
        parser.add_argument("--name", default="createapikey", help="what the key is called in lists")
        parser.add_argument(
            "--scopes",
            nargs="+",
            default=DEFAULT_SCOPES,
            metavar="SCOPE",
            help=f"of {' '.join(Scope.values)}; default: {' '.join(DEFAULT_SCOPES)}",
        )
        parser.add_argument("--expires", metavar="TIME", help="such as 2027-01-31 or 2027-01-31T12:00:00Z")

    def handle(self, *args: Any, organization: str, mode: str, name: str, **options: Any) -> None:
        _, key = mint_key(
            organization=find_organization(organization),
            livemode=mode == "live",
            name=name,
            scopes=read_scopes(options["scopes"]),
            expires_at=read_time(options["expires"]),
        )
        self.stdout.write(key)


def find_organization(name: str) -> Organization:
    try:
        return Organization.objects.get(name=name)
    except Organization.DoesNotExist:
        raise CommandError(
            f"There is no organization {name!r}. Create it first: manage.py createorganization {name!r}"
        ) from None


def read_scopes(words: list[str]) -> frozenset[str]:
    scopes = frozenset(",".join(words).split(","))
    if unknown := scopes.difference(Scope.values):
        raise CommandError(f"Unknown: {', '.join(sorted(unknown))}. Scopes are {', '.join(Scope.values)}.")
    return scopes


def read_time(text: str | None) -> datetime | None:
    """A time in the future; without a zone it is UTC, without a time of day midnight."""
    if text is None:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"{text!r} is no time: use 2027-01-31 or 2027-01-31T12:00:00Z.")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= timezone.now():
        raise CommandError(f"{text} is past: the key would never work.")
    return moment
