"""Sending what is due, here and now, as an `outbound` process does."""

import asyncio

from gpu_worker.contract.spec import ReportKind
from jobs.models import Job, WebhookDelivery
from jobs.tasks import record
from jobs.webhooks import delivery, outbox
from tests.jobs.loopback import Server
from tests.jobs.reports import report


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


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/hook"


def succeed(job: Job) -> None:
    record(report(job, ReportKind.SUCCEEDED))


def message(server: Server, index: int = -1) -> tuple[dict[str, str], str]:
    """Headers and body of a request."""
    head, _, body = server.requests[index].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return headers, body.decode()
