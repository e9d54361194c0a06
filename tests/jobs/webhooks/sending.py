"""Sending what is due, here and now, as an `outbound` process does."""

import asyncio

from jobs.models import WebhookDelivery
from jobs.webhooks import delivery, outbox


def deliver_next() -> bool:
    """Make the try whose turn it is. False: there is none."""
    claims = delivery.claim_due(1)
    for claim in claims:
        delivery.settle(claim, asyncio.run(delivery.send(delivery.message_of(claim))))
    return bool(claims)


def send_due() -> list[WebhookDelivery]:
    """Make every try that is due now."""
    due = list(outbox.due())
    while deliver_next():
        pass
    for row in due:
        row.refresh_from_db()
    return due
