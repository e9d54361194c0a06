"""One try of one delivery: claim it, send it, settle what came of it.

The claim is a lease in the row, so that one worker sends at a time and a worker that dies keeps nothing.
The lease is longer than a sending may take; what was sent by a worker that died before it could say so
is sent again, under the same id.
"""

import logging
import random
import time
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from avatar_api.common import outbound
from avatar_api.common.advisory_lock import lock_until_commit
from avatar_api.common.after_commit import after_commit
from jobs import counters
from jobs.models import WebhookDelivery, WebhookEndpoint
from jobs.webhooks import attempts, endpoints, messages, outbox, signing

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
    """What came of a try: a status, or a sentence that says why there is none.

    Attributes:
        answer: The beginning of the answer's body.
        seconds: How long it took.
    """

    status: int | None = None
    error: str = ""
    answer: str = ""
    seconds: float = 0.0

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


@dataclass(frozen=True)
class Message:
    """What is sent, and where."""

    url: str
    body: bytes
    headers: dict[str, str]


@transaction.atomic
def claim_due(places: int) -> list[Claim]:
    """Take the deliveries whose turn it is, `places` at most."""
    lock_until_commit("claim deliveries")  # So that bounds hold between processes.
    rows = outbox.due().select_for_update(of=("self",), skip_locked=True)
    chosen = rows.filter(pk__in=outbox.next_ids(places)).select_related("endpoint", "job", "organization")
    claims = [_claimed(delivery) for delivery in chosen]
    return [claim for claim in claims if claim is not None]


def _claimed(delivery: WebhookDelivery) -> Claim | None:
    now = timezone.now()
    if delivery.endpoint is not None and delivery.endpoint.disabled_at is not None:
        delivery.last_error = endpoints.NOT_SENT
        _finish(delivery, State.FAILED)
        return None
    delivery.tries += 1
    delivery.leased_until = now + LEASE
    delivery.save(update_fields=["tries", "leased_until"])
    return Claim(delivery, now)


def message_of(claim: Claim) -> Message:
    """What a claimed delivery says at this moment, signed."""
    delivery = claim.delivery
    body = messages.body_of(delivery, settings.PUBLIC_URL)
    url, keys = endpoints.address_and_keys(delivery)
    signed = signing.signed_headers(delivery.id, claim.began, body, keys)
    return Message(url, body, {"Content-Type": "application/json", **signed})


async def send(message: Message) -> Outcome:
    """Needs no database: it may wait for a receiver."""
    began = time.monotonic()
    try:
        posted = await outbound.post(
            message.url, message.body, message.headers, TIMEOUT_SECONDS, answer_bytes=attempts.ANSWER_BYTES
        )
    except outbound.OutboundError as error:
        return Outcome(error=str(error), seconds=time.monotonic() - began)
    answer = attempts.as_text(posted.beginning)
    return Outcome(status=posted.status, answer=answer, seconds=time.monotonic() - began)


@transaction.atomic
def settle(claim: Claim, outcome: Outcome) -> None:
    """Take down what came of a try, unless another worker has taken the delivery over."""
    # The endpoint is locked before its deliveries, here and where it is disabled.
    endpoint = _locked_endpoint(claim.delivery.endpoint_id)
    mine = WebhookDelivery.objects.select_for_update(of=("self",)).filter(
        pk=claim.delivery.pk, state=State.PENDING, tries=claim.delivery.tries
    )
    delivery = mine.first()
    if delivery is None:
        return  # Deleted with its endpoint, given up with it, or taken over after our lease.
    delivery.last_status, delivery.last_error = outcome.status, outcome.error[:255]
    delivery.attempts = attempts.appended(
        delivery.attempts,
        began=claim.began,
        status=outcome.status,
        seconds=outcome.seconds,
        answer=outcome.answer or outcome.error,
    )
    next_try_at = None if outcome.is_final else _next_try_at(delivery, claim.began)
    if next_try_at is not None:
        _try_again(delivery, next_try_at)
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


def _next_try_at(delivery: WebhookDelivery, began: datetime) -> datetime | None:
    """When the next try is due, counted from the event; times that passed before this try are skipped."""
    passed = bisect_right(TRIES_AT, (began - delivery.created_at).total_seconds())
    index = max(delivery.tries, passed)
    if index >= len(TRIES_AT):
        return None
    jitter = random.uniform(0, JITTER) * (TRIES_AT[index] - TRIES_AT[index - 1])  # noqa: S311
    return delivery.created_at + timedelta(seconds=TRIES_AT[index] + jitter)


def _try_again(delivery: WebhookDelivery, at: datetime) -> None:
    delivery.next_try_at = at
    delivery.leased_until = None
    delivery.save(update_fields=["next_try_at", "leased_until", "last_status", "last_error", "attempts"])


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
