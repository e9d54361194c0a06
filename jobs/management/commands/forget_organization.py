"""`manage.py forget_organization ID [--cancel] [--yes]`: removes all of a tenant, and proves it."""

import re
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.erasure import people_of
from accounts.models import Organization
from avatar_api.common.ids import id_pattern
from jobs.operations import erasure

WAIT_SECONDS = 180
"""A worker leaves between two steps; whether it has is known for sure when its lease has run out."""


class Command(BaseCommand):
    help = (
        "Removes an organization for good: jobs and files, keys, webhooks, usage, its people who belong to "
        "no other organization, and every trace in the logs of changes. Then looks through every table, the "
        "store and Redis for what may be left. Stopped anywhere, it can be run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", metavar="ID", help="such as org_…")
        parser.add_argument(
            "--cancel", action="store_true", help="cancel jobs that wait or run, and wait for it"
        )
        parser.add_argument("--yes", action="store_true", help="don't ask")

    def handle(self, *args: Any, organization: str, cancel: bool, yes: bool, **options: Any) -> None:
        if not re.fullmatch(id_pattern("org"), organization):
            raise CommandError(f"{organization!r} is no id of an organization, such as the admin shows.")
        row = Organization.objects.filter(pk=organization).first()
        if row is None:
            self.stdout.write(f"There is no organization {organization}; looking for what may be left of it.")
            traces = erasure.traces_of_id(organization)
            gone = erasure.sweep(traces)
        else:
            self.confirm(row, asked=yes)
            self.stop(row, cancel=cancel)
            traces = erasure.traces_of(row)
            gone = erasure.erase(row, traces)
        for what, number in sorted(gone.items()):
            self.stdout.write(f"removed {number} {what}")
        self.prove(traces)

    def confirm(self, organization: Organization, *, asked: bool) -> None:
        people = ", ".join(people_of(organization).values_list("email", flat=True)) or "nobody"
        self.stdout.write(
            f"{organization.name}: {organization.jobs.count()} jobs, {organization.api_keys.count()} keys; "
            f"with it goes {people}. None of it can be brought back."
        )
        if not asked and input("Type the organization's name to go on: ") != organization.name:
            raise CommandError("Nothing was removed.")

    def stop(self, organization: Organization, *, cancel: bool) -> None:
        """Raises: CommandError: Jobs are open and mustn't be canceled, or don't end."""
        if not cancel and (number := erasure.open_jobs(organization).count()):
            raise CommandError(f"{number} jobs wait or run: use --cancel, or wait. Nothing was removed.")
        erasure.stop(organization)
        deadline = time.monotonic() + WAIT_SECONDS
        while number := erasure.at_work(organization):
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{number} jobs haven't ended yet: are workers and `reports` up? Run it again."
                )
            time.sleep(1)

    def prove(self, traces: erasure.Traces) -> None:
        """Raises: CommandError: Something is left."""
        left = erasure.what_is_left(traces)
        if not left.nothing:
            raise CommandError(f"Something is left, run it again: {left}")
        self.stdout.write(
            f"left: 0 rows in {left.tables} tables, 0 objects below {traces.prefix}, 0 entries of Redis"
        )
