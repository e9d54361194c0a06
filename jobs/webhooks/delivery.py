"""One try of one delivery: claim it, send it, settle what came of it.

The claim is a lease in the row, so that one worker sends at a time and a worker that dies keeps nothing.
The lease is longer than a sending may take; what was sent by a worker that died before it could say so
is sent again, under the same id.
"""

import logging
import random
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from avatar_api.common import outbound
from avatar_api.common.after_commit import after_commit
from jobs import counters, tracing
from jobs.models import WebhookDelivery, WebhookEndpoint
from jobs.webhooks import endpoints, messages, outbox, signing

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 15
LEASE = timedelta(seconds=60)

# When after the event the tries begin, in seconds; the last before the files go.
TRIES_AT = (0, 5, 60, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600)
# A delay is longer by up to this part of it, so that what failed together doesn't come back together.
JITTER = 0.1
# An endpoint is given up when every delivery has failed for so long.
DISABLE_AFTER = timedelta(days=3)

State = WebhookDelivery.State


@dataclass(frozen=True)
class Outcome:
    """What came of a try: a status, or a sentence that says why there is none."""

    status: int | None = None
    error: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_final(self) -> bool:
        """Whether the receiver wants no more."""
        return self.succeeded or self.status == HTTPStatus.GONE


@dataclass(frozen=True)
class Claim:
    """A delivery in our hands since `began`."""

    delivery: WebhookDelivery
    began: datetime


def deliver(delivery_id: str) -> None:
    """Make the try that is due; a delivery that another worker has, or that is done, is left alone."""
    claim = _claim(delivery_id)
    if claim is None:
        return
    job = claim.delivery.job
    with tracing.work_for(job, "deliver") if job else nullcontext():
        outcome = _send(claim)
        log.info("try %d was answered with %s", claim.delivery.tries, outcome.status or "nothing")
        _settle(claim, outcome)


@transaction.atomic
def _claim(delivery_id: str) -> Claim | None:
    rows = outbox.due().select_for_update(of=("self",), skip_locked=True).select_related("endpoint", "job")
    delivery = rows.filter(pk=delivery_id).first()
    if delivery is None or outbox.is_busy(delivery.organization_id):
        return None  # It is enqueued again when one of the tenant's others is through.
    now = timezone.now()
    if delivery.endpoint is not None and delivery.endpoint.disabled_at is not None:
        delivery.last_error = endpoints.NOT_SENT
        _finish(delivery, State.FAILED)
        return None
    delivery.tries += 1
    delivery.leased_until = now + LEASE
    delivery.save(update_fields=["tries", "leased_until"])
    return Claim(delivery, now)


def _send(claim: Claim) -> Outcome:
    delivery = claim.delivery
    body = messages.body_of(delivery, settings.PUBLIC_URL)
    url, keys = endpoints.address_and_keys(delivery)
    headers = {
        "Content-Type": "application/json",
        **signing.signed_headers(delivery.id, claim.began, body, keys),
    }
    try:
        return Outcome(status=outbound.post(url, body, headers, TIMEOUT_SECONDS).status)
    except outbound.OutboundError as error:
        return Outcome(error=str(error))


@transaction.atomic
def _settle(claim: Claim, outcome: Outcome) -> None:
    # The endpoint is locked before its deliveries, here and where it is disabled.
    endpoint = _locked_endpoint(claim.delivery.endpoint_id)
    mine = WebhookDelivery.objects.select_for_update(of=("self",)).filter(
        pk=claim.delivery.pk, state=State.PENDING, tries=claim.delivery.tries
    )
    delivery = mine.first()
    if delivery is None:
        return  # Deleted with its endpoint, given up with it, or taken over after our lease.
    outbox.enqueue_next(delivery.organization_id)
    delivery.last_status, delivery.last_error = outcome.status, outcome.error[:255]
    if not outcome.is_final and delivery.tries < len(TRIES_AT):
        _try_again(delivery, claim.began)
        _count("failed")
        return
    _finish(delivery, State.SUCCEEDED if outcome.succeeded else State.FAILED)
    _count("succeeded" if outcome.succeeded else "given_up")
    if endpoint is not None:
        _update_endpoint(endpoint, delivery, outcome)


def _count(outcome: str) -> None:
    after_commit(partial(counters.webhook_tries.add, outcome))


def _locked_endpoint(endpoint_id: str | None) -> WebhookEndpoint | None:
    return WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=endpoint_id).first()


def _try_again(delivery: WebhookDelivery, began: datetime) -> None:
    delay = TRIES_AT[delivery.tries] - TRIES_AT[delivery.tries - 1]
    jitter = 1 + random.uniform(0, JITTER)  # noqa: S311
    delivery.next_try_at = began + timedelta(seconds=delay * jitter)
    delivery.leased_until = None
    delivery.save(update_fields=["next_try_at", "leased_until", "last_status", "last_error"])


def _finish(delivery: WebhookDelivery, state: str) -> None:
    delivery.state = state
    delivery.finished_at = timezone.now()
    delivery.next_try_at = delivery.leased_until = None
    delivery.save()


def _update_endpoint(endpoint: WebhookEndpoint, delivery: WebhookDelivery, outcome: Outcome) -> None:
    """What a delivery that is over says of its endpoint."""
    if outcome.succeeded:
        endpoint.failing_since = None
        endpoint.save(update_fields=["failing_since"])
    elif outcome.status == HTTPStatus.GONE:
        endpoints.disable(endpoint, "The receiver responded with status 410.")
    else:
        endpoint.failing_since = endpoint.failing_since or delivery.created_at
        endpoint.save(update_fields=["failing_since"])
        if timezone.now() - endpoint.failing_since >= DISABLE_AFTER:
            endpoints.disable(endpoint, f"Every delivery failed for {DISABLE_AFTER.days} days.")
