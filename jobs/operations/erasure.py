"""Removing all of an organization, wherever it left something: rows, files, Redis.

In this order, so that it can be stopped anywhere and begun again: nothing new is taken and nothing is at
work; the jobs and their files; the organization itself, with its people; what Redis still holds. At the end
everything is looked through for what might be left.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from auditlog.models import LogEntry
from django.contrib.admin.models import LogEntry as AdminLogEntry
from django.db import connection
from django.db.models import Model, QuerySet
from redis import Redis
from rq import Queue

from accounts import erasure as accounts_erasure
from accounts import services
from accounts.models import Organization
from avatar_api.common.ids import id_pattern
from avatar_api.common.redis import redis_client
from gpu_worker.contract import storage_keys
from jobs.billing import ended_jobs
from jobs.lifecycle.services import cancel_job
from jobs.metrics.redis import all_queues
from jobs.models import Asset, Job, WebhookDelivery, WebhookEndpoint
from jobs.queues import waiting_ids
from jobs.states import OPEN
from jobs.storage import objects

BATCH = 1000
# What names in Redis are made of: a job's or delivery's id, an organization's, a key's after `key:`.
ID = re.compile(f"{id_pattern('job')}|{id_pattern('msg')}|{id_pattern('org')}|(?<=key:)[0-9A-Za-z]{{12}}")


@dataclass
class Traces:
    """What is known of an organization that is being forgotten.

    Attributes:
        marks: Texts that no row may hold afterwards.
        ids: Ids that nothing in Redis may be named after.
    """

    organization_id: str
    marks: list[str]
    ids: set[str] = field(default_factory=set)

    @property
    def prefix(self) -> str:
        """Below which all its files lie."""
        return storage_keys.organization_prefix(self.organization_id)


@dataclass(frozen=True)
class Remnants:
    """What was found of it after all: nothing, if all went well.

    Attributes:
        rows: By table; every table is looked through.
        tables: How many there are.
    """

    rows: dict[str, int]
    tables: int
    objects: int
    redis_entries: int

    @property
    def nothing(self) -> bool:
        return not (self.rows or self.objects or self.redis_entries)


def traces_of(organization: Organization) -> Traces:
    marks = accounts_erasure.marks_of(organization)
    return Traces(organization.pk, marks, set(marks))


def traces_of_id(organization_id: str) -> Traces:
    """Of an organization whose row is gone already."""
    return Traces(organization_id, [organization_id], {organization_id})


def open_jobs(organization: Organization) -> QuerySet[Job]:
    return Job.objects.filter(organization=organization, status__in=OPEN)


def at_work(organization: Organization) -> int:
    """How many of its jobs haven't ended, or have and may still be in the hands of a worker."""
    with redis_client() as redis:
        held = {key.decode(errors="replace").split(":")[1] for key in redis.scan_iter("lease:*", count=BATCH)}
    return (open_jobs(organization) | Job.objects.filter(organization=organization, pk__in=held)).count()


def stop(organization: Organization) -> None:
    """Take nothing new, and cancel what waits or runs; workers leave within seconds."""
    services.suspend(organization=organization)
    for job in open_jobs(organization):
        cancel_job(job=job)


def erase(organization: Organization, traces: Traces) -> Counter[str]:
    """Remove it; nothing of it may be at work.

    Returns:
        How many rows went, by model, and how many objects and entries of Redis.
    """
    gone = _erase_rows(organization, traces)
    gone += accounts_erasure.erase(organization)
    ended_jobs.anonymize(traces.organization_id)
    return gone + sweep(traces)


def sweep(traces: Traces) -> Counter[str]:
    """Remove what is left in the store and in Redis."""
    stored = sum(len(page) for page in objects.pages(traces.prefix))
    objects.delete_prefix(traces.prefix)
    with redis_client() as redis:
        return Counter({"objects": stored, "entries of Redis": _erase_in_redis(redis, traces.ids)})


def what_is_left(traces: Traces) -> Remnants:
    """Look through every table, the store and Redis."""
    tables = connection.introspection.table_names()
    rows = {table: count for table in tables if (count := _mentions(table, traces.marks))}
    stored = sum(len(page) for page in objects.pages(traces.prefix))
    with redis_client() as redis:
        entries = sum(1 for _ in _entries(redis, traces.ids))
    return Remnants(rows, len(tables), stored, entries)


def _erase_rows(organization: Organization, traces: Traces) -> Counter[str]:
    gone: Counter[str] = Counter()
    for model in (WebhookDelivery, Job, WebhookEndpoint, Asset):
        rows: QuerySet[Model] = model._default_manager.filter(organization=organization)
        while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
            traces.ids.update(keys)
            gone["audit log entries"] += LogEntry.objects.filter(object_pk__in=keys).delete()[0]
            gone["admin log entries"] += AdminLogEntry.objects.filter(object_id__in=keys).delete()[0]
            gone.update(model._default_manager.filter(pk__in=keys).delete()[1])
    return gone


def _mentions(table: str, marks: list[str]) -> int:
    """How many rows of a table hold one of the texts, in whichever column."""
    name = connection.ops.quote_name(table)
    patterns = [f"%{mark.replace('_', chr(92) + '_')}%" for mark in marks]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {name} AS row WHERE row::text LIKE ANY(%s)", [patterns])  # noqa: S608
        return int(cursor.fetchone()[0])


def _erase_in_redis(redis: Redis, ids: set[str]) -> int:
    found = list(_entries(redis, ids))
    for queue, entry in found:
        if queue is None:
            redis.delete(entry)
        else:
            queue.remove(entry)
            redis.zrem(queue.failed_job_registry.key, entry)
    return len(found)


def _entries(redis: Redis, ids: set[str]) -> Iterator[tuple[Queue | None, Any]]:
    """Keys, and entries of a queue or of its list of failures, that are named after one of the ids."""
    for key in redis.scan_iter(count=BATCH):
        if not ids.isdisjoint(ID.findall(key.decode(errors="replace"))):
            yield None, key
    for queue in all_queues(redis):
        for entry in {*waiting_ids(queue), *queue.failed_job_registry.get_job_ids(cleanup=False)}:
            if not ids.isdisjoint(ID.findall(entry)):
                yield queue, entry
