"""The console's pages: a frame with the person's organization; their modules read and act through the API."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from accounts.choice import MODE, MODES, remembered_membership
from accounts.models import User
from accounts.scopes import ROLE_SCOPES, Scope
from avatar_api.common.problems import Problem
from console.pages import page
from jobs.models import WebhookEventType
from jobs.states import Status


@require_safe
@login_required
@ensure_csrf_cookie
def section(request: HttpRequest, name: str, **facts: str) -> HttpResponse:
    """One of the console's pages, for the organization and mode that the person has chosen."""
    person = tenant_of(request)
    template = f"{name}.html" if person["memberships"] else "no_organization.html"
    return page(
        request,
        template,
        {
            "section": name,
            "statuses": Status.values,
            "event_types": WebhookEventType.values,
            **person,
            **facts,
        },
    )


def tenant_of(request: HttpRequest) -> dict[str, Any]:
    """For whom a signed-in person may act, and for whom they do."""
    if not isinstance(request.user, User):
        return {"memberships": []}
    try:
        membership = remembered_membership(request.user, request)
    except Problem:  # No member anywhere.
        return {"memberships": []}
    scopes = ROLE_SCOPES[membership.role]
    return {
        "memberships": request.user.memberships.select_related("organization").order_by("id"),
        "organization": membership.organization,
        "role": membership.role,
        "scopes": Scope.choices,
        "may_manage_keys": Scope.KEYS_WRITE.value in scopes,
        "may_manage_webhooks": Scope.WEBHOOKS_WRITE.value in scopes,
        "may_change_jobs": Scope.JOBS_WRITE.value in scopes,
        "mode": request.session.get(MODE, MODES[0]),
        "modes": MODES,
    }
