"""API keys as the API takes and shows them."""

import ipaddress
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from accounts.models import ApiKey
from accounts.scopes import Scope
from avatar_api.common.fields import (
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictListField,
    StrictSerializer,
    StrictTimeField,
    TimestampField,
)

MAX_NETWORKS = 50
MAX_OVERLAP_SECONDS = 7 * 24 * 3600


class NetworkField(StrictCharField):
    """An address or a network in CIDR notation, kept in its canonical form."""

    default_error_messages = {
        "invalid_network": "Must be an IP address or network such as 203.0.113.0/24.",
    }

    def to_internal_value(self, data: Any) -> str:
        try:
            return str(ipaddress.ip_network(super().to_internal_value(data)))
        except ValueError:
            self.fail("invalid_network")


class ApiKeyRequestSerializer(StrictSerializer):
    """The fields of `POST /v1/api-keys`."""

    name = StrictCharField(max_length=100)
    scopes = StrictListField(
        child=StrictChoiceField(choices=Scope.choices),
        required=False,
        min_length=1,
        help_text="At most those of the key or person that creates it, which is also the default.",
    )
    expires_at = StrictTimeField(required=False, allow_null=True, default=None)
    allowed_ips = StrictListField(
        child=NetworkField(max_length=43),
        max_length=MAX_NETWORKS,
        default=list,
        help_text="IP addresses and networks that may use the key. Empty: any.",
    )

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("The expiry time must be in the future.", "in_the_past")
        return value


class RotationRequestSerializer(StrictSerializer):
    """The fields of `POST /v1/api-keys/<id>/rotate`."""

    overlap_seconds = StrictIntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        default=0,
        help_text="How long the old key keeps working.",
    )


class ApiKeySerializer(serializers.ModelSerializer):
    """A key without its secret."""

    object = serializers.CharField(default="api_key", read_only=True)
    mode = serializers.ChoiceField(choices=["live", "test"], read_only=True)
    created_at = TimestampField(read_only=True)
    expires_at = TimestampField(read_only=True, allow_null=True)
    revoked_at = TimestampField(read_only=True, allow_null=True)
    last_used_at = TimestampField(read_only=True, allow_null=True)

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "object",
            "name",
            "mode",
            "scopes",
            "allowed_ips",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "last_used_ip",
        ]
        read_only_fields = fields


class MintedApiKeySerializer(ApiKeySerializer):
    """A key that was just made; its text is never shown again."""

    key = serializers.SerializerMethodField(
        help_text="The full key, shown only once; null where an earlier request made it."
    )

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]

    def get_key(self, api_key: ApiKey) -> str | None:
        return self.context["key"]


class ApiKeyPageSerializer(serializers.Serializer):
    data = ApiKeySerializer(many=True)  # type: ignore[assignment]  # a field, as all others
    next_cursor = serializers.CharField(allow_null=True)
