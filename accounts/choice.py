"""For whom a signed-in person acts: as headers say, as they chose on a page, or for their first organization.

A browser sends no headers of one's own from a page without scripts, so the pages of the browsable API have
a form whose answer the session keeps.
"""

import re
from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.models import Membership, User
from avatar_api.common.ids import id_pattern
from avatar_api.common.problems import FieldError, Problem, invalid

ORGANIZATION, MODE = "organization", "mode"
MODES = ("test", "live")
ORGANIZATION_ID = re.compile(id_pattern("org"))


@dataclass(frozen=True)
class Choice:
    membership: Membership
    livemode: bool


def choice_of(user: User, request: HttpRequest) -> Choice:
    """Raises: Problem: `permission_denied` for a stranger's organization, `validation_error` for a mode."""
    named = request.headers.get("X-Organization")
    mode = request.headers.get("X-Mode", request.session.get(MODE, MODES[0]))
    membership = membership_of(user, named) if named is not None else remembered_membership(user, request)
    return Choice(membership, livemode_of(mode))


def membership_of(user: User, organization_id: str | None) -> Membership:
    """The membership in an organization, or the person's first.

    A stranger's organization and one that never was are refused alike.
    """
    memberships = user.memberships.select_related("organization__plan", "organization__test_plan")
    if organization_id is not None:
        memberships = memberships.filter(
            organization_id=organization_id if ORGANIZATION_ID.fullmatch(organization_id) else ""
        )
    membership = memberships.order_by("id").first()
    if membership is None:
        raise Problem("permission_denied", "You are not a member of this organization.")
    return membership


def remembered_membership(user: User, request: HttpRequest) -> Membership:
    """What was chosen on the pages, unless the person is no longer a member there."""
    try:
        return membership_of(user, request.session.get(ORGANIZATION))
    except Problem:
        return membership_of(user, None)


def livemode_of(mode: str) -> bool:
    if mode not in MODES:
        raise invalid(FieldError("X-Mode", "invalid", "Must be live or test."))
    return mode == "live"


@require_POST
@login_required
def choose(request: HttpRequest) -> HttpResponseBase:
    """Remember the choice, and go back to where it was made."""
    assert isinstance(request.user, User)
    organization_id, mode = request.POST.get(ORGANIZATION, ""), request.POST.get(MODE, "")
    try:
        membership_of(request.user, organization_id)
        livemode_of(mode)
    except Problem as problem:
        raise BadRequest from problem  # The form offers nothing of the kind.
    request.session[ORGANIZATION], request.session[MODE] = organization_id, mode
    return HttpResponseRedirect(address_to_return_to(request))


def address_to_return_to(request: HttpRequest) -> str:
    address = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(address, {request.get_host()}, request.is_secure())
    return address if is_ours else resolve_url("me")
