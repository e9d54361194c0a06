"""The members of an organization: for owners, who manage them; everybody else sees how to leave."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts import invitations, members
from accounts.choice import MODE, MODES, remembered_membership
from accounts.member_serializers import InvitationRequestSerializer, RoleRequestSerializer
from accounts.member_views import link_for, refusals
from accounts.models import Invitation, Membership, User
from accounts.scopes import Role
from avatar_api.common.problems import Problem
from console.pages import page


@require_safe
@login_required
def members_page(request: HttpRequest) -> HttpResponse:
    own = _own_membership(request)
    return page(request, "members.html", _context(request, own))


@require_POST
@login_required
def act(request: HttpRequest, verb: str) -> HttpResponse:
    """Do what a form of the page says, and show the page with what came of it."""
    own = _own_membership(request)
    if verb not in ACTIONS:
        raise Http404
    if verb != "leave" and own.role != Role.OWNER:
        raise PermissionDenied
    try:
        with refusals():
            messages.success(request, ACTIONS[verb](request, own))
    except Problem as problem:
        messages.error(request, str(problem.detail))
    return HttpResponseRedirect(reverse("start" if verb == "leave" else "members-page"))


def _own_membership(request: HttpRequest) -> Membership:
    assert isinstance(request.user, User)
    try:
        return remembered_membership(request.user, request)
    except Problem as problem:
        raise PermissionDenied from problem


def _context(request: HttpRequest, own: Membership) -> dict[str, Any]:
    organization = own.organization
    owner = own.role == Role.OWNER
    return {
        "own": own,
        "is_owner": owner,
        "members": organization.memberships.select_related("user").order_by("id") if owner else [],
        "invitations": organization.invitations.all() if owner else [],
        "roles": Role.choices,
        "memberships": own.user.memberships.select_related("organization").order_by("id"),
        "mode": request.session.get(MODE, MODES[0]),
    }


def _member(request: HttpRequest, own: Membership) -> Membership:
    found = members.find(own.organization, request.POST.get("id", ""))
    if found is None:
        raise Http404
    return found


def _invitation(request: HttpRequest, own: Membership) -> Invitation:
    found = invitations.find_sent(own.organization, request.POST.get("id", ""))
    if found is None:
        raise Http404
    return found


def _invite(request: HttpRequest, own: Membership) -> str:
    form = InvitationRequestSerializer(
        data={"email": request.POST.get("email", ""), "role": request.POST.get("role", "")}
    )
    if not form.is_valid():
        raise Problem("validation_error", "Give an e-mail address, such as bob@example.com, and a role.")
    invitations.invite(
        organization=own.organization, invited_by=own.user, link=link_for(request), **form.validated_data
    )
    return f"{form.validated_data['email']} was sent an invitation."


def _resend(request: HttpRequest, own: Membership) -> str:
    invitation = invitations.resend(_invitation(request, own), link_for(request))
    return f"{invitation.email} was sent a new link. The one before works no more."


def _revoke(request: HttpRequest, own: Membership) -> str:
    invitation = _invitation(request, own)
    invitations.revoke(invitation)
    return f"The invitation of {invitation.email} is revoked."


def _change_role(request: HttpRequest, own: Membership) -> str:
    form = RoleRequestSerializer(data={"role": request.POST.get("role", "")})
    if not form.is_valid():
        raise BadRequest  # The form offers nothing of the kind.
    changed = members.change_role(_member(request, own), form.validated_data["role"])
    return f"{changed.user.email} is {changed.get_role_display().lower()} now."


def _remove(request: HttpRequest, own: Membership) -> str:
    member = _member(request, own)
    keys = members.remove(member)
    text = f"{member.user.email} is no longer a member, and logged out everywhere."
    if keys:
        text += f" Keys that they made still work: {', '.join(map(str, keys))}. Rotate what they may know."
    return text


def _leave(request: HttpRequest, own: Membership) -> str:
    members.leave(own)
    return f"You have left {own.organization.name}."


ACTIONS: dict[str, Callable[[HttpRequest, Membership], str]] = {
    "invite": _invite,
    "resend": _resend,
    "revoke": _revoke,
    "role": _change_role,
    "remove": _remove,
    "leave": _leave,
}
