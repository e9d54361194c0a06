"""Members and invitations as the API takes and shows them."""

from typing import Any

from django.core.validators import EmailValidator
from rest_framework import serializers

from accounts.models import Invitation, Membership
from accounts.scopes import Role
from accounts.serializers import ApiKeySerializer
from avatar_api.common.fields import StrictCharField, StrictChoiceField, StrictSerializer, TimestampField


class AddressField(StrictCharField):
    """An e-mail address, in lower case as accounts have them."""

    default_error_messages = {"invalid_email": "Must be an e-mail address."}

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=254, **options)

    def to_internal_value(self, data: Any) -> str:
        address = super().to_internal_value(data).strip().lower()
        try:
            EmailValidator()(address)
        except ValueError:
            self.fail("invalid_email")
        return address


class RoleRequestSerializer(StrictSerializer):
    """The field of `PATCH /v1/members/<id>`."""

    role = StrictChoiceField(choices=Role.choices)


class InvitationRequestSerializer(StrictSerializer):
    """The fields of `POST /v1/invitations`."""

    email = AddressField()
    role = StrictChoiceField(choices=Role.choices, default=Role.MEMBER.value)


class MemberSerializer(serializers.ModelSerializer):
    id = serializers.CharField(source="member_id", read_only=True)
    object = serializers.CharField(default="member", read_only=True)
    email = serializers.CharField(source="user.email", read_only=True)
    name = serializers.CharField(source="user.name", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices, read_only=True)
    created_at = TimestampField(read_only=True)

    class Meta:
        model = Membership
        fields = ["id", "object", "email", "name", "role", "created_at"]


class MemberListSerializer(serializers.Serializer):
    data = MemberSerializer(many=True)  # type: ignore[assignment]  # a field, as all others


class RemovedMemberSerializer(serializers.Serializer):
    id = serializers.CharField()
    object = serializers.CharField(default="member", read_only=True)
    api_keys = ApiKeySerializer(many=True, help_text="Active keys that the person made, of both modes.")


class InvitationSerializer(serializers.ModelSerializer):
    object = serializers.CharField(default="invitation", read_only=True)
    invited_by = serializers.SerializerMethodField(help_text="The address of the owner who sent it.")
    created_at = TimestampField(read_only=True)
    sent_at = TimestampField(read_only=True)
    expires_at = TimestampField(read_only=True)

    class Meta:
        model = Invitation
        fields = ["id", "object", "email", "role", "invited_by", "created_at", "sent_at", "expires_at"]
        read_only_fields = fields

    def get_invited_by(self, invitation: Invitation) -> str | None:
        return invitation.invited_by.email if invitation.invited_by else None


class InvitationPageSerializer(serializers.Serializer):
    data = InvitationSerializer(many=True)  # type: ignore[assignment]  # a field, as all others
    next_cursor = serializers.CharField(allow_null=True)
