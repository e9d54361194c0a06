"""What `/v1/me` shows: the caller, its plan, and how much of it is left."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from accounts.limits import Limits
from accounts.models import ApiKey, Plan
from accounts.tenancy import Tenant
from jobs.billing import quotas
from jobs.models import Asset, Job
from jobs.states import Status


@dataclass(frozen=True)
class KeyResource:
    id: str
    name: str
    mode: str
    scopes: list[str]
    expires_at: datetime | None


@dataclass(frozen=True)
class OrganizationResource:
    id: str
    name: str


@dataclass(frozen=True)
class RemainingQuota:
    """What is left of the organization's limits now; None where nothing is counted."""

    concurrent_jobs: int
    queued_jobs: int
    video_seconds_this_month: float | None
    active_keys: int
    open_assets: int
    open_asset_bytes: int


@dataclass(frozen=True)
class PlanResource:
    code: str
    name: str
    limits: Limits
    left: RemainingQuota


@dataclass(frozen=True)
class Me:
    object: str
    livemode: bool
    organization: OrganizationResource
    key: KeyResource | None
    plan: PlanResource


def me(tenant: Tenant) -> Me:
    """Everything that `/v1/me` shows of a tenant."""
    organization, key = tenant.organization, tenant.api_key
    plan = organization.plan if tenant.livemode else organization.test_plan
    return Me(
        object="me",
        livemode=tenant.livemode,
        organization=OrganizationResource(organization.id, organization.name),
        key=KeyResource(key.id, key.name, key.mode, key.scopes, key.expires_at) if key else None,
        plan=_plan(plan, tenant),
    )


def _plan(plan: Plan, tenant: Tenant) -> PlanResource:
    return PlanResource(code=plan.code, name=plan.name, limits=tenant.limits, left=_left(tenant))


def _left(tenant: Tenant) -> RemainingQuota:
    jobs = Job.objects.for_organization(tenant.organization, livemode=tenant.livemode)
    counts = jobs.aggregate(
        queued=Count("id", filter=Q(status=Status.QUEUED)),
        processing=Count("id", filter=Q(status=Status.PROCESSING)),
    )
    limits = tenant.limits
    keys = ApiKey.objects.for_organization(tenant.organization, livemode=tenant.livemode).active().count()
    assets = Asset.objects.for_organization(tenant.organization, livemode=tenant.livemode).open_now()
    return RemainingQuota(
        concurrent_jobs=max(0, limits.concurrent_jobs - counts["processing"]),
        queued_jobs=max(0, limits.queued_jobs - counts["queued"]),
        video_seconds_this_month=float(quotas.seconds_left(tenant)) if tenant.livemode else None,
        active_keys=max(0, limits.active_keys - keys),
        open_assets=max(0, limits.open_assets - assets.number),
        open_asset_bytes=max(0, limits.open_asset_bytes - assets.size_bytes),
    )
