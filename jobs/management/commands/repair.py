from typing import Any

from django.core.management.base import BaseCommand

from jobs.operations.reconcile import reconcile


class Command(BaseCommand):
    help = "Set going again, once, whatever is stuck: lost queue entries, lost workers, expired files."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(str(reconcile()))
