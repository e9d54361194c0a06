"""The audit log, to be read by operators and changed by nobody."""

from typing import Any

from auditlog.filters import ResourceTypeFilter
from auditlog.mixins import LogEntryAdminMixin
from auditlog.models import LogEntry
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

ACTIONS = {"create": "success", "update": "info", "delete": "danger"}


@admin.register(LogEntry)
class AuditLogAdmin(LogEntryAdminMixin, ModelAdmin):
    list_display = ["timestamp", "who", "shown_action", "resource_url", "msg_short", "remote_addr"]
    list_filter = ["action", ResourceTypeFilter, ("actor", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["content_type", "actor"]
    search_fields = ["object_repr", "object_pk", "actor_email", "cid", "remote_addr"]
    date_hierarchy = "timestamp"
    fields = ["timestamp", "who", "shown_action", "resource_url", "remote_addr", "cid", "changes_table"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        self.request = request
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Who")
    def who(self, entry: LogEntry) -> str:
        """The person by name, although the account be gone; else the key or the command."""
        origin = entry.additional_data or {}
        if "api_key" in origin:
            return f"API key {origin['api_key']}"
        return entry.actor_email or f"manage.py {origin.get('command', '')}"

    @display(description="Changes")
    def changes_table(self, entry: LogEntry) -> SafeString:
        """Before and after, column by column."""
        changes = [(name, *values) for name, values in entry.changes_dict.items()]
        return render_to_string("accounts/admin/changes.html", {"changes": sorted(changes)})

    @display(description="Action", label=ACTIONS)
    def shown_action(self, entry: LogEntry) -> str:
        return entry.get_action_display()
