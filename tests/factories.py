"""Rows for tests, as short as what the test is about."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.limits import effective_limits
from accounts.models import Invitation, Membership, Organization, Plan, User
from accounts.scopes import Scope
from accounts.services import mint_key
from accounts.tenant import Tenant
from avatar_api.common.ids import new_id
from gpu_worker.contract import windows
from jobs.intake import assets
from jobs.models import Asset, Job, WebhookDelivery, WebhookEndpoint, WebhookEventType
from jobs.states import Status
from jobs.webhooks import endpoints


def organization(name: str = "Acme", plan: str = "free", **fields: Any) -> Organization:
    return Organization.objects.create(name=name, plan_id=plan, **fields)


def key(of: Organization, *, livemode: bool = False, scopes: frozenset[str] | None = None) -> str:
    """The text of a new key."""
    allowed = frozenset(Scope.values) if scopes is None else scopes
    return mint_key(organization=of, livemode=livemode, name="test", scopes=allowed)[1]


def member(of: Organization, email: str, role: str = "member", **fields: Any) -> Membership:
    person = User.objects.create_user(email)
    return Membership.objects.create(organization=of, user=person, role=role, **fields)


def invitation(of: Organization, email: str = "someone@example.com", **fields: Any) -> Invitation:
    values = {
        "role": "member",
        "token_sha256": new_id("sha"),
        "expires_at": timezone.now() + timedelta(days=7),
    }
    return Invitation.objects.create(organization=of, email=email, **values | fields)


def plan_like(plan: Plan, code: str, **fields: Any) -> Plan:
    """Another plan with these fields changed."""
    values = {field.name: getattr(plan, field.name) for field in Plan._meta.concrete_fields}
    return Plan.objects.create(**values | {"code": code} | fields)


def job(of: Organization, **fields: Any) -> Job:
    """A queued job whose inputs exist in name only."""
    row = job_row(of, **fields)
    row.save(force_insert=True)
    return row


def job_row(of: Organization, **fields: Any) -> Job:
    """Such a job, not yet saved."""
    num_frames = fields.pop("num_frames", 100)
    file = {"key": "nowhere/reference.png", "sha256": "0" * 64, "size_bytes": 1}
    item = {"file": file, "facts": {"sha256": "0" * 64, "size_bytes": 1}}
    return Job(
        **{
            "organization": of,
            "livemode": False,
            "engine": "preview",
            "prompt": "A person is talking.",
            "resolution": "480p",
            "preset": "fast",
            "seed": 7,
            "speaking_order": "together",
            "reference_kind": "image",
            "inputs": {"reference": item, "speech": [item]},
            "num_frames": num_frames,
            "windows": len(windows.STANDARD_WINDOWS.plan(num_frames)),
            "reserved_seconds": Decimal(num_frames) / windows.FPS,
            "retention_seconds": 6 * 3600,
            "price_per_video_second_usd": Decimal("0.05"),
            **fields,
        }
    )


def ended_jobs(of: Organization, number: int, **fields: Any) -> None:
    """Many jobs that have succeeded, in one go."""
    now = timezone.now()
    fields = {"status": Status.SUCCEEDED, "started_at": now, "finished_at": now, **fields}
    Job.objects.bulk_create(job_row(of, **fields) for _ in range(number))


def asset(of: Organization, *, livemode: bool = False) -> Asset:
    """An asset to which nothing was uploaded yet."""
    limits = effective_limits(of, livemode=livemode)
    tenant = Tenant(organization=of, livemode=livemode, scopes=frozenset(), limits=limits)
    return assets.create(tenant=tenant, content_type="image/png", size_bytes=10, filename="portrait.png")


def webhook(of: Organization, url: str = "https://receiver.example/hook", **fields: Any) -> WebhookEndpoint:
    """An endpoint for test mode's events, all of them unless it says which."""
    fields = {"livemode": False, "event_types": WebhookEventType.values, **fields}
    return endpoints.create(organization=of, url=url, **fields)


def delivery(to: WebhookEndpoint) -> WebhookDelivery:
    """A message that waits to be sent."""
    return endpoints.send_test(endpoint=to)
