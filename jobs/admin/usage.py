"""What organizations and keys have used, on their admin pages: `accounts` itself counts no jobs."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from accounts.admin.api_keys import ApiKeyAdmin
from accounts.admin.organizations import OrganizationAdmin
from accounts.limits import effective_limits
from accounts.models import ApiKey, Organization
from accounts.tenant import Tenant
from jobs.billing import account
from jobs.billing.usage import UsageRow, read_period, report

USAGE = ("Usage this month", {"fields": ["usage"]})


@dataclass(frozen=True)
class OrganizationUsage:
    """One mode's line: what was used this month, and what goes on now."""

    mode: str
    used: UsageRow
    quota: int | None
    running: str
    waiting: str


def organization_usage(organization: Organization, *, livemode: bool) -> OrganizationUsage:
    limits = effective_limits(organization, livemode=livemode)
    tenant = Tenant(organization, livemode=livemode, scopes=frozenset(), limits=limits)
    left = account.me(tenant).plan.left
    return OrganizationUsage(
        mode="live" if livemode else "test",
        used=report(tenant, read_period({}), "day").total,
        quota=limits.video_seconds_per_month if livemode else None,
        running=f"{limits.concurrent_jobs - left.concurrent_jobs} of {limits.concurrent_jobs}",
        waiting=f"{limits.queued_jobs - left.queued_jobs} of {limits.queued_jobs}",
    )


def key_usage(api_key: ApiKey) -> UsageRow | None:
    """What the key has used this month; None: nothing."""
    limits = effective_limits(api_key.organization, api_key)
    tenant = Tenant(api_key.organization, livemode=api_key.livemode, scopes=frozenset(), limits=limits)
    rows = report(tenant, read_period({}), "key").data
    return next((row for row in rows if row.key_id == api_key.pk), None)


class OrganizationUsageAdmin(OrganizationAdmin):
    readonly_fields = [*OrganizationAdmin.readonly_fields, "usage"]

    def get_fieldsets(self, request: HttpRequest, obj: Organization | None = None) -> list[Any]:
        first, *rest = super().get_fieldsets(request, obj)
        return [first, USAGE, *rest] if obj else [first]

    @display(description="By mode")
    def usage(self, organization: Organization) -> SafeString:
        lines = [organization_usage(organization, livemode=livemode) for livemode in (True, False)]
        return render_to_string("jobs/admin/organization_usage.html", {"lines": lines})


class ApiKeyUsageAdmin(ApiKeyAdmin):
    readonly_fields = [*ApiKeyAdmin.readonly_fields, "usage"]

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        first, *rest = super().get_fieldsets(request, obj)
        return [first, USAGE, *rest] if obj else [first]

    @display(description="Used")
    def usage(self, api_key: ApiKey) -> SafeString:
        return render_to_string("jobs/admin/key_usage.html", {"used": key_usage(api_key)})


for model, page in ((Organization, OrganizationUsageAdmin), (ApiKey, ApiKeyUsageAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, page)
