"""`manage.py createorganization NAME [--plan free]`: prints the organization's id."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import DEFAULT_PLAN, Organization, Plan
from accounts.services import create_organization


class Command(BaseCommand):
    help = "Creates an organization and prints its id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--plan", default=DEFAULT_PLAN, help="code of the plan (default: %(default)s)")

    def handle(self, *args: Any, name: str, plan: str, **options: Any) -> None:
        if Organization.objects.filter(name=name).exists():
            raise CommandError(f"There is an organization {name!r} already.")
        if not Plan.objects.filter(code=plan).exists():
            known = ", ".join(Plan.objects.values_list("code", flat=True))
            raise CommandError(f"There is no plan {plan!r}. Known plans: {known}.")
        self.stdout.write(create_organization(name=name, plan=plan).pk)
