"""`manage.py storage_setup [--origin URL …] [--dry-run]`: the bucket's lifecycle and CORS rules."""

import json
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.storage import bucket_rules, objects

ORIGIN = re.compile(r"https?://[^/*?#@\s]+")


class Command(BaseCommand):
    help = (
        "Writes the bucket's rules: a net that removes what nobody deleted, the end of unfinished uploads, "
        "and what browsers may do. Run again it changes nothing; rules of others stay. It needs a key that "
        "may configure the bucket."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--origin",
            action="append",
            default=[],
            dest="origins",
            metavar="URL",
            help="whose pages may upload by presigned PUT, such as https://app.example.com; may be repeated",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be written")

    def handle(self, *args: Any, origins: list[str], dry_run: bool, **options: Any) -> None:
        if unfit := [origin for origin in origins if not ORIGIN.fullmatch(origin)]:
            raise CommandError(
                f"{unfit[0]!r} is no origin: use scheme and host, such as https://example.com."
            )
        if not objects.is_bucket():
            self.stdout.write("Files lie in a folder, which has no rules.")
            return
        retention = bucket_rules.longest_retention()
        days = bucket_rules.days_kept(retention)
        self.stdout.write(f"Files are kept for up to {retention}; what is older than {days} d goes anyway.")
        for change in bucket_rules.plan(days, origins):
            verb = "is there" if change.is_there else "would be written" if dry_run else "written"
            self.stdout.write(f"{change.what} {json.dumps(change.rule)}  {verb}")
        if not dry_run:
            bucket_rules.apply(days, origins)
