"""The form by which a person chooses for whom the pages of the browsable API ask."""

from typing import Any

from django import template
from rest_framework.request import Request

from accounts.choice import MODES
from accounts.models import User
from accounts.tenant import Tenant

register = template.Library()


@register.inclusion_tag("accounts/choice.html")
def choose_tenant(request: Request) -> dict[str, Any]:
    """Nothing for those who aren't signed in, or aren't a member anywhere."""
    tenant = request.auth
    if not isinstance(tenant, Tenant) or not isinstance(tenant.user, User):
        return {"memberships": []}
    return {
        "memberships": tenant.user.memberships.select_related("organization").order_by("id"),
        "organization": tenant.organization,
        "mode": "live" if tenant.livemode else "test",
        "modes": MODES,
        "next": request.get_full_path(),
        "request": request,
    }
