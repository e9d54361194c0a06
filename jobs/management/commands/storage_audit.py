"""`manage.py storage_audit [--delete] [--json]`: whether the store holds what the rows say, and no more."""

import json
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.storage.audit import GRACE, Audit, Finding, FindingKind

FOUND = 3
"""Exit status when something was found. A fault of the command itself is 1, a wrong option 2."""


class Command(BaseCommand):
    help = (
        "Lists objects of the store that no row knows, uploads that were never finished, and objects that a "
        f"row needs and the store lacks. The exit status is {FOUND} when there were any, and 0 otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--delete",
            action="store_true",
            help="remove unknown objects and unfinished uploads; the database has to be that of this store",
        )
        parser.add_argument(
            "--grace",
            type=int,
            default=int(GRACE.total_seconds()),
            metavar="SECONDS",
            help="leave alone what is younger, since its row may follow (default: %(default)s)",
        )
        parser.add_argument(
            "--json", action="store_true", help="one JSON object a line, the last one the summary"
        )

    def handle(self, *args: Any, delete: bool, grace: int, **options: Any) -> None:
        audit = Audit(grace=timedelta(seconds=grace), delete=delete)
        found: Counter[str] = Counter()
        for finding in audit.findings():
            found[finding.kind] += 1
            self.stdout.write(as_json(finding) if options["json"] else as_line(finding))
        summary = {
            "objects": audit.objects,
            "young": audit.young,
            "jobs": audit.jobs,
            **{f"{kind}s": found[kind] for kind in FindingKind},
        }
        self.stdout.write(
            json.dumps({"kind": "summary", **summary}) if options["json"] else in_words(summary)
        )
        if found:
            raise CommandError("Store and rows differ.", returncode=FOUND)


def as_json(finding: Finding) -> str:
    return json.dumps(asdict(finding) | {"since": finding.since and finding.since.isoformat()})


def as_line(finding: Finding) -> str:
    facts = [finding.kind.replace("_", " "), finding.key]
    if finding.since:
        facts.append(f"since {finding.since:%Y-%m-%dT%H:%M:%SZ}")
    if finding.job:
        facts.append(f"needed by {finding.job}")
    if finding.deleted:
        facts.append("deleted")
    return "  ".join(facts)


def in_words(summary: dict[str, int]) -> str:
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in summary.items())
