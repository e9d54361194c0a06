"""What can be done with endpoints and their deliveries. Each verb owns its transaction."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.creation_order import creation_time
from accounts.models import Organization
from avatar_api.common.problems import Problem
from jobs.intake.sources import Remote
from jobs.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from jobs.webhooks import messages, outbox, signing

# Each event of a mode is sent to all of them.
MAX_ENDPOINTS = 20
NOT_SENT = "Not sent, because the webhook is disabled."

State = WebhookDelivery.State


@transaction.atomic
def create(*, organization: Organization, livemode: bool, **fields: Any) -> WebhookEndpoint:
    """A new endpoint with a secret of its own.

    Raises:
        Problem: `conflict` when there are as many as there may be.
    """
    created_at = creation_time(WebhookEndpoint.objects.all(), organization, livemode=livemode)
    existing = WebhookEndpoint.objects.for_organization(organization, livemode=livemode)
    if existing.count() >= MAX_ENDPOINTS:
        raise Problem("conflict", f"The limit of {MAX_ENDPOINTS} webhooks has been reached.")
    return WebhookEndpoint.objects.create(
        organization=organization,
        livemode=livemode,
        secret=signing.new_secret(),
        created_at=created_at,
        **fields,
    )


@transaction.atomic
def change(*, endpoint: WebhookEndpoint, enabled: bool | None = None, **fields: Any) -> WebhookEndpoint:
    """Change what is named; switched on again, an endpoint starts with a clean slate."""
    endpoint = _locked(endpoint)
    for name, value in fields.items():
        setattr(endpoint, name, value)
    endpoint.save(update_fields=fields)
    if enabled is False and endpoint.disabled_at is None:
        disable(endpoint, "Disabled manually.")
    if enabled is True:
        endpoint.disabled_at, endpoint.disabled_reason, endpoint.failing_since = None, "", None
        endpoint.save(update_fields=["disabled_at", "disabled_reason", "failing_since"])
    return endpoint


def disable(endpoint: WebhookEndpoint, reason: str) -> None:
    """Send nothing there any more, what waits included; part of the caller's transaction, which locks it."""
    now = timezone.now()
    endpoint.disabled_at, endpoint.disabled_reason = now, reason
    endpoint.save(update_fields=["disabled_at", "disabled_reason"])
    endpoint.deliveries.filter(state=State.PENDING).update(
        state=State.FAILED, finished_at=now, next_try_at=None, leased_until=None, last_error=NOT_SENT
    )


@transaction.atomic
def rotate_secret(*, endpoint: WebhookEndpoint, overlap_seconds: int) -> WebhookEndpoint:
    """A new secret; for `overlap_seconds` messages carry the old one's signature as well."""
    endpoint = _locked(endpoint)
    endpoint.previous_secret = endpoint.secret
    endpoint.previous_secret_until = timezone.now() + timedelta(seconds=overlap_seconds)
    endpoint.secret = signing.new_secret()
    endpoint.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
    return endpoint


@transaction.atomic
def send_test(*, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Raises: Problem: `conflict` while the endpoint is disabled."""
    endpoint = _locked(endpoint)
    _refuse_disabled(endpoint)
    now = timezone.now()
    test = WebhookDelivery(
        organization_id=endpoint.organization_id,
        livemode=endpoint.livemode,
        endpoint=endpoint,
        event_type=messages.TEST_EVENT,
        payload=messages.of_test(endpoint, now),
        created_at=now,
        next_try_at=now,
    )
    return outbox.write([test])[0]


@transaction.atomic
def redeliver(*, delivery: WebhookDelivery) -> WebhookDelivery:
    """Try the same message once more, now; tries that it has left go on after that.

    Raises:
        Problem: `conflict` while its endpoint is disabled.
    """
    if delivery.endpoint is not None:
        _refuse_disabled(_locked(delivery.endpoint))
    delivery = WebhookDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
    delivery.state, delivery.finished_at, delivery.next_try_at = State.PENDING, None, timezone.now()
    delivery.save(update_fields=["state", "finished_at", "next_try_at"])
    outbox.enqueue_after_commit([delivery])
    return delivery


def default_secret(organization: Organization, *, livemode: bool) -> str:
    """What signs messages to jobs' own addresses; made on first use."""
    row, _ = WebhookSecret.objects.get_or_create(
        organization=organization, livemode=livemode, defaults={"secret": signing.new_secret()}
    )
    return row.secret


def address_and_keys(delivery: WebhookDelivery) -> tuple[str, list[str]]:
    """Where a delivery goes, and the secrets that sign it."""
    endpoint = delivery.endpoint
    if endpoint is None:
        assert delivery.job is not None
        assert delivery.job.webhook_url
        return delivery.job.webhook_url, [default_secret(delivery.organization, livemode=delivery.livemode)]
    keys = [endpoint.secret]
    if endpoint.previous_secret_until is not None and endpoint.previous_secret_until > timezone.now():
        assert endpoint.previous_secret
        keys.append(endpoint.previous_secret)
    return endpoint.url, keys


def shown_address(delivery: WebhookDelivery) -> str:
    """Where a delivery goes, as its tenant may see it: a job's own address may hold a secret in its query."""
    if delivery.endpoint is not None:
        return delivery.endpoint.url
    assert delivery.job is not None
    return Remote(delivery.job.webhook_url or "").shown


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)


def _refuse_disabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_at is not None:
        raise Problem("conflict", f"The webhook is disabled. {endpoint.disabled_reason}")
