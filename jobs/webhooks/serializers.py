"""Webhooks as the API takes and shows them."""

from typing import Any

from rest_framework import serializers

from accounts.scopes import Scope
from avatar_api.common.fields import (
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictListField,
    StrictSerializer,
    TimestampField,
)
from jobs.intake.fields import WebhookUrlField
from jobs.models import WebhookDelivery, WebhookEndpoint, WebhookEventType
from jobs.webhooks import endpoints

DAY = 24 * 3600


class EventTypesField(StrictListField):
    """A choice of event types, each named once."""

    child = StrictChoiceField(choices=WebhookEventType.choices)
    default_error_messages = {"duplicate": "Each event type may be listed once."}

    def to_internal_value(self, data: Any) -> list[str]:
        event_types: list[str] = super().to_internal_value(data)
        if len(set(event_types)) < len(event_types):
            self.fail("duplicate")
        return event_types


class WebhookRequestSerializer(StrictSerializer):
    """The fields of `POST /v1/webhooks`."""

    url = WebhookUrlField(help_text="Where to send events: an https URL without user name and password.")
    event_types = EventTypesField(
        min_length=1, default=WebhookEventType.values, help_text="Which events to send; all by default."
    )
    description = StrictCharField(max_length=255, allow_blank=True, default="")


class WebhookChangeSerializer(WebhookRequestSerializer):
    """The fields of `PATCH /v1/webhooks/<id>`, any of them."""

    enabled = StrictBooleanField(help_text="True also re-enables a webhook that was disabled after failures.")


class SecretRotationSerializer(StrictSerializer):
    """The fields of `POST /v1/webhooks/<id>/rotate-secret`."""

    overlap_seconds = StrictIntegerField(
        min_value=0,
        max_value=7 * DAY,
        default=DAY,
        help_text="How long messages are also signed with the old secret.",
    )


class WebhookSerializer(serializers.ModelSerializer):
    """An endpoint without its secret."""

    object = serializers.CharField(default="webhook", read_only=True)
    enabled = serializers.SerializerMethodField()
    created_at = TimestampField(read_only=True)
    failing_since = TimestampField(
        read_only=True,
        allow_null=True,
        help_text="Since when every delivery has failed; after three days the webhook is disabled.",
    )
    disabled_at = TimestampField(read_only=True, allow_null=True)

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "object",
            "livemode",
            "url",
            "event_types",
            "description",
            "enabled",
            "failing_since",
            "disabled_at",
            "disabled_reason",
            "created_at",
        ]
        read_only_fields = fields

    def get_enabled(self, endpoint: WebhookEndpoint) -> bool:
        return endpoint.disabled_at is None


class WebhookWithSecretSerializer(WebhookSerializer):
    """An endpoint whose secret was just made."""

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class WebhookPageSerializer(serializers.Serializer):
    data = WebhookSerializer(many=True)  # type: ignore[assignment]  # a field, as all others
    next_cursor = serializers.CharField(allow_null=True)


class WebhookSecretSerializer(serializers.Serializer):
    """What signs messages to the `webhook_url` of a job."""

    object = serializers.CharField(default="webhook_secret", read_only=True)
    livemode = serializers.BooleanField()
    secret = serializers.CharField()


class AttemptSerializer(serializers.Serializer):
    """One try of a delivery."""

    at = serializers.DateTimeField(help_text="When it began.")
    status = serializers.IntegerField(
        allow_null=True, help_text="What the receiver answered; null when there was no answer."
    )
    seconds = serializers.FloatField(help_text="How long the answer took.")
    answer = serializers.CharField(
        help_text="The first 2 kB of the receiver's answer, or the reason why there was none."
    )


class DeliverySerializer(serializers.ModelSerializer):
    """One message to one receiver; `id` is what it carries as `webhook-id`."""

    object = serializers.CharField(default="webhook_delivery", read_only=True)
    job = serializers.CharField(
        source="job_id", read_only=True, allow_null=True, help_text="Null for the type `webhook.test`."
    )
    url = serializers.SerializerMethodField(
        help_text="Where it is sent: the webhook's address, or the job's own without its query."
    )
    status = serializers.ChoiceField(source="state", choices=WebhookDelivery.State.choices, read_only=True)
    payload = serializers.DictField(
        read_only=True,
        allow_null=True,
        help_text="What it says, without addresses, which are signed anew each time it is sent. "
        "It holds the job, so it is null without the scope jobs:read.",
    )
    attempts = AttemptSerializer(many=True, read_only=True, help_text="The last 20, oldest first.")
    next_attempt_at = TimestampField(source="next_try_at", read_only=True, allow_null=True)
    job_id = serializers.CharField(read_only=True, allow_null=True, help_text="The same as `job`.")
    next_try_at = TimestampField(read_only=True, allow_null=True, help_text="The same as `next_attempt_at`.")
    created_at = TimestampField(read_only=True)
    finished_at = TimestampField(read_only=True, allow_null=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "object",
            "event_type",
            "job",
            "url",
            "status",
            "payload",
            "attempts",
            "next_attempt_at",
            "job_id",
            "state",
            "tries",
            "next_try_at",
            "last_status",
            "last_error",
            "created_at",
            "finished_at",
        ]
        read_only_fields = fields

    def get_url(self, delivery: WebhookDelivery) -> str:
        return endpoints.shown_address(delivery)

    def to_representation(self, instance: WebhookDelivery) -> dict[str, Any]:
        """Needs `scopes` as its context: those of the caller."""
        shown: dict[str, Any] = super().to_representation(instance)
        return shown if Scope.JOBS_READ in self.context["scopes"] else shown | {"payload": None}


class DeliveryPageSerializer(serializers.Serializer):
    data = DeliverySerializer(many=True)  # type: ignore[assignment]  # a field, as all others
    next_cursor = serializers.CharField(allow_null=True)
