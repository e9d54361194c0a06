"""The admin of webhooks: where messages go, what became of each, and one more try."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from accounts.admin.pages import confirm
from accounts.admin_filters import ModeFilter
from accounts.admin_scope import ScopedAdmin
from accounts.scopes import Scope
from avatar_api.common.problems import Problem
from jobs.models import WebhookDelivery, WebhookEndpoint
from jobs.webhooks import endpoints


class WebhooksAdmin(ScopedAdmin):
    """Read only: what can be done, the buttons do."""

    list_select_related = ["organization"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Mode", label={"live": "info", "test": "default"})
    def shown_mode(self, row: WebhookEndpoint | WebhookDelivery) -> str:
        return "live" if row.livemode else "test"


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(WebhooksAdmin):
    staff_scopes = dict.fromkeys(["view", "switch"], Scope.WEBHOOKS_WRITE.value)
    list_display = ["url", "organization", "shown_mode", "shown_state", "failing_since", "created_at"]
    list_filter = [("disabled_at", admin.EmptyFieldListFilter), ModeFilter, "organization"]
    search_fields = ["id", "url", "organization__name"]
    actions_detail = ["switch_on", "switch_off"]
    fieldsets = [
        (None, {"fields": ["id", "url", "description", ("organization", "shown_mode"), "event_types"]}),
        ("State", {"fields": ["shown_state", "disabled_reason", ("disabled_at", "failing_since")]}),
        ("Secret", {"fields": ["previous_secret_until", "created_at"]}),
    ]

    @display(description="State", label={"on": "success", "failing": "warning", "disabled": "danger"})
    def shown_state(self, endpoint: WebhookEndpoint) -> str:
        if endpoint.disabled_at is not None:
            return "disabled"
        return "failing" if endpoint.failing_since else "on"

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        disabled = WebhookEndpoint.objects.filter(pk=object_id, disabled_at__isnull=False).exists()
        return [self.get_unfold_action("switch_on" if disabled else "switch_off")]

    @action(description="Switch on", icon="play_circle")
    def switch_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "New events will be sent there."
        return self.switched(request, object_id, "Switch on", text, enabled=True)

    @action(description="Switch off", icon="block")
    def switch_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "Nothing more will be sent there, including pending deliveries."
        return self.switched(request, object_id, "Switch off", text, enabled=False)

    def switched(
        self, request: HttpRequest, object_id: str, verb: str, text: str, *, enabled: bool
    ) -> HttpResponse:
        endpoint = self.target(request, "switch", object_id)
        if request.method != "POST":
            return confirm(self, request, verb=verb, what=endpoint.url, text=text)
        endpoints.change(endpoint=endpoint, enabled=enabled)
        return HttpResponseRedirect(reverse("admin:jobs_webhookendpoint_change", args=[endpoint.pk]))


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(WebhooksAdmin):
    staff_scopes = dict.fromkeys(["view", "redeliver"], Scope.WEBHOOKS_WRITE.value)
    list_select_related = ["organization", "endpoint"]
    list_display = [
        "id",
        "event_type",
        "receiver",
        "organization",
        "shown_mode",
        "shown_state",
        "tries",
        "last_status",
        "last_error",
        "next_try_at",
    ]
    list_filter = ["state", "event_type", ModeFilter, "organization"]
    search_fields = ["id", "job__id", "endpoint__id"]
    actions = ["redeliver_selected"]
    actions_detail = ["redeliver"]
    fieldsets = [
        (None, {"fields": ["id", "event_type", "receiver", "job_id", ("organization", "shown_mode")]}),
        ("Tries", {"fields": [("shown_state", "tries"), ("last_status", "last_error"), "next_try_at"]}),
        ("Answers", {"fields": ["shown_attempts"]}),
        ("History", {"fields": [("created_at", "finished_at")]}),
        ("Message, as it is kept", {"fields": ["message"]}),
    ]
    readonly_fields = ["job_id", "message", "shown_attempts"]

    @display(description="State", label={"succeeded": "success", "pending": "info", "failed": "danger"})
    def shown_state(self, delivery: WebhookDelivery) -> str:
        return delivery.state

    @display(description="Receiver")
    def receiver(self, delivery: WebhookDelivery) -> str:
        """A job's own address may hold what is secret."""
        return delivery.endpoint.url if delivery.endpoint else "the job's own address"

    @display(description="Attempts")
    def shown_attempts(self, delivery: WebhookDelivery) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(delivery.attempts, indent=2, ensure_ascii=False))

    @display(description="Message")
    def message(self, delivery: WebhookDelivery) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(delivery.payload, indent=2, ensure_ascii=False))

    def has_redeliver_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "redeliver")

    @action(description="Send once more", icon="send")
    def redeliver(self, request: HttpRequest, object_id: str) -> HttpResponse:
        delivery = self.target(request, "redeliver", object_id)
        if request.method != "POST":
            text = "The same message is sent again now, with the same id."
            return confirm(self, request, verb="Send once more", what=delivery.id, text=text)
        self.send_again(request, delivery)
        return HttpResponseRedirect(reverse("admin:jobs_webhookdelivery_change", args=[delivery.pk]))

    @admin.action(description="Send once more", permissions=["redeliver"])
    def redeliver_selected(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        for delivery in self.own(request, "redeliver", queryset):
            self.send_again(request, delivery)

    def send_again(self, request: HttpRequest, delivery: WebhookDelivery) -> None:
        try:
            endpoints.redeliver(delivery=delivery)
        except Problem as problem:
            self.message_user(request, f"{delivery.id}: {problem.detail}", "error")
        else:
            self.message_user(request, f"{delivery.id} is being sent.")
