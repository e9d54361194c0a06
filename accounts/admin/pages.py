"""What several pages of the admin are made of."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString

from accounts.limits import explained_limits
from accounts.models import ApiKey, Organization


def confirm(
    page: ModelAdmin, request: HttpRequest, *, verb: str, what: str, text: str, **context: Any
) -> TemplateResponse:
    """Asks before something is done, and for what it needs; the answer is a POST to the same address."""
    return render(
        page, request, "accounts/admin/confirm.html", title=f"{verb} {what}", verb=verb, text=text, **context
    )


def render(page: ModelAdmin, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
    request.current_app = page.admin_site.name  # as Django's own admin does
    opts = page.model._meta
    back = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
    shared = page.admin_site.each_context(request) | {"opts": opts, "back": back}
    return TemplateResponse(request, template, shared | context)


def limits_table(
    organization: Organization, api_key: ApiKey | None = None, *, livemode: bool = True
) -> SafeString:
    """The limits that hold and where each comes from."""
    limits = explained_limits(organization, api_key, livemode=livemode)
    return render_to_string("accounts/admin/limits.html", {"limits": limits})
