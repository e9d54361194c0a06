"""Members and invitations over the API: for owners in a session, never for keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import idempotency, invitations, members
from accounts.member_serializers import (
    InvitationPageSerializer,
    InvitationRequestSerializer,
    InvitationSerializer,
    MemberListSerializer,
    MemberSerializer,
    RemovedMemberSerializer,
    RoleRequestSerializer,
)
from accounts.models import Invitation, Membership
from accounts.scopes import Role
from accounts.tenancy import TenantView
from avatar_api.common.openapi import PAGE_PARAMETERS, operation
from avatar_api.common.pagination import page_of
from avatar_api.common.problems import Problem
from avatar_api.common.strict_json import object_of


def link_for(request: HttpRequest) -> invitations.Link:
    """Addresses on the host by which clients reach us."""
    base = settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")
    return lambda token: base + reverse("invitation", args=[token])


@contextmanager
def refusals() -> Iterator[None]:
    """Translate what the services refuse."""
    try:
        yield
    except members.LastOwnerError as error:
        raise Problem("conflict", str(error)) from error
    except invitations.AlreadyMemberError as error:
        raise Problem("conflict", "The address is a member's already.") from error
    except invitations.AlreadyInvitedError as error:
        raise Problem("conflict", "The address is invited already: send that invitation again.") from error
    except invitations.MailNotSentError as error:
        raise Problem("service_unavailable", "The mail couldn't be sent: try again later.") from error
    except invitations.TooManyInvitationsError as error:
        text = f"{invitations.MAX_OPEN} invitations are open already: revoke one first."
        raise Problem("quota_exceeded", text) from error


class OwnerView(TenantView):
    """For people in a session whose role is owner. The mode makes no difference."""

    for_people = True
    required_scope = dict.fromkeys(["GET", "POST", "PATCH", "DELETE"])

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if self.tenant.user is None:
            raise Problem("permission_denied", "API keys can't manage members: log in.")
        if self.tenant.role != Role.OWNER:
            raise Problem("permission_denied", "Only owners manage members.")

    def member(self, member_id: str) -> Membership:
        """Raises: Problem: `not_found` for an id that never was and for a stranger's alike."""
        found = members.find(self.tenant.organization, member_id)
        if found is None:
            raise Problem("not_found")
        return found

    def invitation(self, invitation_id: str) -> Invitation:
        """Raises: Problem: as `member` does."""
        found = invitations.find_sent(self.tenant.organization, invitation_id)
        if found is None:
            raise Problem("not_found")
        return found


class MemberListView(OwnerView):
    @operation("list_members", responses=MemberListSerializer)
    def get(self, request: Request) -> Response:
        """All members of the organization, those who have been there longest first."""
        rows = self.tenant.organization.memberships.select_related("user").order_by("id")
        return Response(MemberListSerializer({"data": rows}).data)


class MemberView(OwnerView):
    @operation(
        "update_member", raises=["conflict"], request=RoleRequestSerializer, responses=MemberSerializer
    )
    def patch(self, request: Request, member_id: str) -> Response:
        """Change a member's role. The last owner's can't be changed."""
        member = self.member(member_id)
        form = RoleRequestSerializer(data=object_of(request))
        form.is_valid(raise_exception=True)
        with refusals():
            changed = members.change_role(member, form.validated_data["role"])
        return Response(MemberSerializer(changed).data)

    @operation("remove_member", raises=["conflict"], responses={200: RemovedMemberSerializer})
    def delete(self, request: Request, member_id: str) -> Response:
        """Remove a member and end the person's sessions. The last owner can't be removed.

        The answer lists the keys that the person made. They stay the organization's, and go on working.
        """
        member = self.member(member_id)
        with refusals():
            keys = members.remove(member)
        return Response(RemovedMemberSerializer({"id": member.member_id, "api_keys": keys}).data)


class InvitationListView(OwnerView):
    @operation("list_invitations", parameters=PAGE_PARAMETERS, responses=InvitationPageSerializer)
    def get(self, request: Request) -> Response:
        """The invitations that are neither accepted nor revoked, newest first, expired ones included."""
        page = page_of(
            self.tenant.organization.invitations.all(), request.query_params, invitations.INVITATION_ID
        )
        return Response(InvitationPageSerializer({"data": page.rows, "next_cursor": page.next_cursor}).data)

    @operation(
        "create_invitation",
        raises=["conflict", "quota_exceeded"],
        idempotent=True,
        request=InvitationRequestSerializer,
        responses={201: InvitationSerializer},
    )
    def post(self, request: Request) -> Response:
        """Invite somebody by mail. The link in it works for seven days, and for that address alone."""
        body = object_of(request)
        idempotent = idempotency.request_of(request.headers.get(idempotency.HEADER), "invitations", body)
        if idempotent and (claim := idempotency.replay(self.tenant, idempotent)):
            shown = InvitationSerializer(self.invitation(claim.object_id)).data
            return Response(shown, status=201, headers={"Idempotent-Replayed": "true"})
        form = InvitationRequestSerializer(data=body)
        form.is_valid(raise_exception=True)
        return Response(InvitationSerializer(self.invite(form.validated_data, idempotent)).data, status=201)

    def invite(self, data: dict[str, Any], idempotent: idempotency.IdempotentRequest | None) -> Invitation:
        assert self.tenant.user is not None
        with refusals(), idempotency.claimed(self.tenant, idempotent), transaction.atomic():
            invitation = invitations.invite(
                organization=self.tenant.organization,
                invited_by=self.tenant.user,
                link=link_for(self.request._request),
                **data,
            )
            idempotency.complete(self.tenant, idempotent, invitation.pk)
        return invitation


class InvitationView(OwnerView):
    @operation("revoke_invitation", responses={204: None})
    def delete(self, request: Request, invitation_id: str) -> Response:
        """Revoke an invitation: its link works no more."""
        invitations.revoke(self.invitation(invitation_id))
        return Response(status=204)


class InvitationResendView(OwnerView):
    @operation("resend_invitation", request=None, responses=InvitationSerializer)
    def post(self, request: Request, invitation_id: str) -> Response:
        """Mail a new link, which takes the place of the one before and works for seven days."""
        found = self.invitation(invitation_id)
        with refusals():
            invitation = invitations.resend(found, link_for(request._request))
        return Response(InvitationSerializer(invitation).data)
