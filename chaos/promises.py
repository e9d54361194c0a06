"""The promises, checked from outside and against the database after everything has healed.

Each check gives a sentence for every time that its promise was broken.
"""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import av
from django.db.models import Sum
from redis import Redis
from rq import Queue

from chaos.customers import Answered, Customers, frames_of
from chaos.plan import Variant
from chaos.receiver import Message
from chaos.stack import Stack
from gpu_worker.contract.engines import ENGINES
from gpu_worker.contract.queues import REPORTS
from jobs.billing import quotas
from jobs.lifecycle.transitions import MAX_LOSSES
from jobs.models import Job, JobEvent, MonthlyUsage, WebhookDelivery
from jobs.queues import OUTBOUND
from jobs.states import FINAL, OPEN, Status
from jobs.storage.audit import Audit

Broken = Iterator[str]
DECODERS = 2
QUEUES = (*(engine.queue for engine in ENGINES.values()), REPORTS, OUTBOUND)


@dataclass(frozen=True)
class Video:
    """A video as a player sees it."""

    num_frames: int
    digest: str


def decoded(content: bytes) -> Video:
    """Raises: av.FFmpegError: it can't be decoded."""
    digest, count = hashlib.sha256(), 0
    with av.open(io.BytesIO(content), "r") as container:
        for frame in container.decode(video=0):
            digest.update(frame.to_ndarray(format="rgb24").tobytes())
            count += 1
    return Video(count, digest.hexdigest())


class Promises:
    """What is looked at once everything has ended.

    Args:
        undisturbed: What each variant looks like when nothing goes wrong.
    """

    def __init__(self, stack: Stack, customers: Customers, undisturbed: dict[Variant, Video]) -> None:
        self._stack = stack
        self._customers = customers
        self._answered = customers.answered
        self._undisturbed = undisturbed

    @cached_property
    def shown(self) -> dict[str, dict[str, Any]]:
        """Each promised job as the API shows it to its owner."""
        return {answered.job_id: self._customers.job(answered) for answered in self._answered}

    @cached_property
    def rows(self) -> dict[str, Job]:
        return {job.id: job for job in Job.objects.all()}

    @property
    def statuses(self) -> Counter[str]:
        return Counter(job["status"] for job in self.shown.values())

    @property
    def justly_lost(self) -> int:
        return sum(self.is_justly_lost(job_id) for job_id in self.rows)

    @property
    def event_counts(self) -> Counter[str]:
        return Counter(JobEvent.objects.values_list("type", flat=True))

    def lost(self) -> Broken:
        """Orders that were answered with 202 and have not come to an end."""
        for answered in self._answered:
            if answered.job_id not in self.rows or self.shown[answered.job_id]["status"] not in FINAL:
                yield f"{answered.order.key}: {answered.job_id} has not ended"

    def doubled(self) -> Broken:
        """Orders that made two jobs, and jobs that ended twice."""
        made = Counter(job.metadata["order"] for job in self.rows.values())
        yield from (f"{key} made {count} jobs" for key, count in made.items() if count > 1)
        ends = JobEvent.objects.filter(type__in=FINAL).values_list("job_id", flat=True)
        yield from (f"{job_id} ended {count} times" for job_id, count in Counter(ends).items() if count > 1)

    def unanswered(self) -> Broken:
        """Jobs that nobody was told of, and refusals of what is in order."""
        known = {answered.job_id for answered in self._answered}
        yield from (f"nobody knows of {job_id}" for job_id in self.rows.keys() - known)
        yield from self._customers.refused

    def states(self) -> Broken:
        """Ends that nobody asked for."""
        for answered in self._answered:
            job = self.shown[answered.job_id]
            if job["status"] == Status.CANCELED and answered.order.cancel_after is None:
                yield f"{job['id']} was canceled, and nobody asked for it"
            if job["status"] == Status.FAILED and not self.is_justly_lost(job["id"]):
                yield f"{job['id']} failed: {job['error']['code']}, {job['error']['detail']}"

    def is_justly_lost(self, job_id: str) -> bool:
        """Whether the job failed because three workers in a row were lost over it."""
        if self.rows[job_id].error_code != "worker_lost":
            return False
        events = list(JobEvent.objects.filter(job_id=job_id).values_list("type", flat=True))
        since_progress = events[max((i for i, type_ in enumerate(events) if type_ == "window"), default=0) :]
        # The last loss is told as the failure itself.
        return since_progress.count("lost") + 1 >= MAX_LOSSES

    def videos(self) -> Broken:
        """Videos that lack a frame, or differ from an undisturbed render."""
        finished = [a for a in self._answered if self.shown[a.job_id]["status"] == Status.SUCCEEDED]
        with ThreadPoolExecutor(DECODERS) as pool:
            for sentences in pool.map(self._faults_of_video, finished):
                yield from sentences

    def _faults_of_video(self, answered: Answered) -> list[str]:
        variant = answered.order.variant
        try:
            video = decoded(self._customers.video(self.shown[answered.job_id]))
        except av.FFmpegError as error:
            return [f"the video of {answered.job_id} can't be decoded: {error}"]
        if video.num_frames != frames_of(variant):
            return [f"{answered.job_id} has {video.num_frames} frames instead of {frames_of(variant)}"]
        if video != self._undisturbed.get(variant, video):
            return [f"{answered.job_id} differs from an undisturbed render of {variant}"]
        return []

    def messages(self) -> Broken:
        """Ends that were delivered never, under two ids, or otherwise than they are."""
        delivered: dict[str, list[Message]] = defaultdict(list)
        for message in list(self._stack.receiver.messages):
            delivered[message.job].append(message)
            if not message.genuine:
                yield f"the signature of {message.id} is wrong"
        for job in self.rows.values():
            ids = {message.id for message in delivered[job.id]}
            if len(ids) != 1 or not any(message.answered for message in delivered[job.id]):
                yield f"the end of {job.id} has {len(ids)} ids in {len(delivered[job.id])} messages"
            for type_ in {message.type for message in delivered[job.id]} - {f"job.{job.status}"}:
                yield f"{job.id} has {job.status}, and {type_} was delivered"
        for delivery in WebhookDelivery.objects.exclude(state=WebhookDelivery.State.SUCCEEDED):
            yield f"{delivery.id} is {delivery.state} after {delivery.tries} tries"

    def quota(self) -> Broken:
        """Charges that differ from what was made, and reservations that were kept."""
        due: dict[str, Decimal] = defaultdict(Decimal)
        for job in self.rows.values():
            expected = quotas.chargeable_seconds(job)
            if job.charged_seconds != expected:
                yield f"{job.id} was charged {job.charged_seconds} s instead of {expected} s"
            due[job.organization_id] += expected if job.livemode else 0
        usage = MonthlyUsage.objects.values("organization")
        for row in usage.annotate(charged=Sum("charged_seconds"), reserved=Sum("reserved_seconds")):
            if row["charged"] != due[row["organization"]]:
                yield f"{row['organization']} was charged {row['charged']} s of {due[row['organization']]}"
            if row["reserved"]:
                yield f"{row['organization']} still has {row['reserved']} s reserved"

    def storage(self) -> Broken:
        """Objects that no row knows, and files of jobs that aren't there."""
        yield from (f"{finding.kind} {finding.key}" for finding in Audit(grace=timedelta(0)).findings())

    def rest(self) -> Broken:
        """Rows and queue entries that are still at work although nothing is left to do."""
        for job in Job.objects.filter(status__in=OPEN):
            yield f"{job.id} is still {job.status}"
        with Redis.from_url(self._stack.valkey.url) as redis:
            for name in QUEUES:
                queue = Queue(name, connection=redis)
                parts = {
                    "queue": queue.job_ids,
                    "intermediate queue": queue.intermediate_queue.get_job_ids(),
                    "scheduled registry": queue.scheduled_job_registry.get_job_ids(cleanup=False),
                    "deferred registry": queue.deferred_job_registry.get_job_ids(cleanup=False),
                }
                yield from (f"the {part} of {name} holds {ids}" for part, ids in parts.items() if ids)

    @property
    def abandoned(self) -> int:
        """What killed workers left in RQ's accounts; they expire, and nothing is decided by them."""
        with Redis.from_url(self._stack.valkey.url) as redis:
            queues = [Queue(name, connection=redis) for name in QUEUES]
            return sum(queue.started_job_registry.get_job_count(cleanup=False) for queue in queues)

    def temporary_files(self) -> Broken:
        """Files that outlived the processes that made them; to be asked once these have ended."""
        root = self._stack.folder / "tmp"
        yield from (f"{path.relative_to(root)} is left" for path in root.rglob("*") if path.is_file())
