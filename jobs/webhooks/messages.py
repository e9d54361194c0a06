"""What a message says: a snapshot of the job, kept without addresses, which are signed when it is sent."""

import json
from datetime import datetime
from typing import Any

from django.utils import timezone

from avatar_api.common.times import write_time
from jobs.models import Job, WebhookDelivery, WebhookEndpoint, WebhookEventType
from jobs.presenters import hls, job_resource
from jobs.scheduling.eta import LiveStatus

TEST_EVENT = "webhook.test"
MAX_BYTES = 20_000
# What a message goes without, in this order, where it would be too long: the job itself still has it.
DISPENSABLE = (("receipt",), ("input", "negative_prompt"), ("input", "prompt"), ("metadata",))

Json = dict[str, Any]


def of_job(job: Job, event_type: WebhookEventType, moment: datetime) -> Json:
    """The message that the job has come to where it is, as it is kept."""
    data: Json = {**job_resource.describe(job, LiveStatus(), base_url="")}
    if data["output"] is not None:
        data["output"] = {**data["output"], "url": None, "thumbnail_url": None}
    data["stream_url"] = None
    return _message(event_type, moment, data)


def of_test(endpoint: WebhookEndpoint, moment: datetime) -> Json:
    """A message that tells nothing but that messages arrive."""
    data = {"id": endpoint.id, "object": "webhook", "livemode": endpoint.livemode}
    return _message(TEST_EVENT, moment, data)


def _message(event_type: str, moment: datetime, data: Json) -> Json:
    return {"type": event_type, "timestamp": write_time(moment), "data": data}


def body_of(delivery: WebhookDelivery, base_url: str) -> bytes:
    """The bytes to send now: under 20 kB, with addresses that work for a while."""
    data = delivery.payload["data"]
    if delivery.job is not None:
        data = _with_addresses(data, delivery.job, base_url)
    return _fitted({"type": delivery.event_type, "timestamp": delivery.payload["timestamp"], "data": data})


def _with_addresses(data: Json, job: Job, base_url: str) -> Json:
    data = {**data, "stream_url": hls.address(job, base_url)}
    if data["output"] is None:
        return data
    assert job.expires_at is not None
    if job.expired or job.expires_at <= timezone.now():
        return {**data, "output": None, "expired": True}
    addresses = {
        "url": job_resource.content_url(job, "video", base_url),
        "thumbnail_url": job_resource.content_url(job, "thumbnail", base_url),
    }
    return {**data, "output": {**data["output"], **addresses}}


def _fitted(message: Json) -> bytes:
    body = _encoded(message)
    for *parents, name in DISPENSABLE:
        if len(body) < MAX_BYTES:
            break
        message = _without(message, ["data", *parents], name)
        body = _encoded(message)
    return body


def _without(message: Json, parents: list[str], name: str) -> Json:
    if not parents:
        return {**message, name: None}
    first, *rest = parents
    return {**message, first: _without(message[first], rest, name)}


def _encoded(message: Json) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
