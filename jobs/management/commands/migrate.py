from typing import Any

from django.core.management.commands import migrate
from django.db import connections
from django.db.backends.postgresql.schema import DatabaseSchemaEditor

LOCK_TIMEOUT = "5s"


class ImpatientSchemaEditor(DatabaseSchemaEditor):
    """Waits only briefly for a lock, behind which all requests to the table would queue.

    The time-out belongs to the migration's transaction: a setting of the session would stay with a connection
    that a pool lends to others next, and a pool may refuse one that comes with the connection.
    """

    def __enter__(self) -> "ImpatientSchemaEditor":
        super().__enter__()
        if self.atomic_migration:
            self.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        return self


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        connection.SchemaEditorClass = ImpatientSchemaEditor
        try:
            super().handle(*args, **options)
        finally:
            del connection.SchemaEditorClass
