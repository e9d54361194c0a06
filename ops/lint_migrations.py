"""Whether each migration can run while the release before it serves: `python -m ops.lint_migrations`.

The rule stands in CONTRIBUTING.md. Postgres itself, one of our own, says what SQL a migration is; nothing is
run on it. A first migration makes its tables, which nobody uses yet.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from avatar_api.embedded import Postgres

OURS = ("accounts", "jobs")
# By name, migrations that drop what no release uses any more, and the release that was the first not to.
DROPS: dict[str, str] = {}


def main() -> int:
    """1 if a migration of ours isn't fit."""
    with TemporaryDirectory() as folder, Postgres(Path(folder) / "postgres", durable=False) as postgres:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "avatar_api.settings.test", "DATABASE_URL": postgres.url}
        import django
        from django.db import connection

        django.setup()
        try:
            return int(is_unfit(OURS))
        finally:
            connection.close()


def is_unfit(apps: Iterable[str]) -> bool:
    """Print each migration of the apps that isn't fit, and why; Django is set up and its database there."""
    from django_migration_linter import MigrationLinter

    linter = MigrationLinter(
        include_apps=apps,
        ignore_name=list(DROPS),
        ignore_initial_migrations=True,
        all_warnings_as_errors=True,
        quiet=["ok", "ignore"],
    )
    linter.lint_all_migrations()
    return bool(linter.has_errors)


if __name__ == "__main__":
    sys.exit(main())
