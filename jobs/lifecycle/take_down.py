"""Reports of videos that should not be there: taking them in, and what an operator does about them."""

import re
from collections.abc import Iterator
from contextlib import suppress

from django.core import signing
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from avatar_api.common.ids import id_pattern
from avatar_api.common.problems import Problem
from gpu_worker.contract import storage_keys
from jobs.lifecycle import retention, services
from jobs.models import BlockedPicture, Job, TakeDownReport
from jobs.models.take_down import MAX_NAMED
from jobs.presenters import hls, signed_urls
from jobs.states import OPEN
from jobs.storage import objects

JOB_ID = re.compile(id_pattern("job"))
State = TakeDownReport.State


def take_in(*, named: str, reason: str, details: str, email: str) -> TakeDownReport:
    """Put a report into the operators' queue.

    Args:
        named: The video's id, as its marks name it, or any address of the video or its files. Whether it
            exists has no influence on the answer, since the sender is a stranger.
        reason: One of `TakeDownReport.Reason`.
        details: In the sender's words.
        email: Where to reach the sender; may be empty.
    """
    job_id = job_id_in(named)
    return TakeDownReport.objects.create(
        named=job_id or named.partition("?")[0][:MAX_NAMED],
        job=Job.objects.filter(pk=job_id).first(),
        reason=reason,
        details=details,
        email=email,
    )


def job_id_in(text: str) -> str:
    """The first job's id in a text; empty where there is none.

    It stands there itself, or in what we signed for an address, however long ago that expired.
    """
    for candidate in (text, *_signed_parts(text)):
        if found := JOB_ID.search(candidate):
            return found[0]
    return ""


def _signed_parts(text: str) -> Iterator[str]:
    for part in text.strip().partition("?")[0].split("/"):
        with suppress(signing.BadSignature):
            yield signing.loads(part, salt=signed_urls.SALT)[0]
        with suppress(signing.BadSignature):
            yield signing.Signer(salt=hls.SALT).unsign_object(part)[0]


@transaction.atomic
def dismiss(report: TakeDownReport, user: User) -> None:
    """Raises: Problem: `conflict` when somebody has decided already."""
    _decide(_lock_open(report), State.DISMISSED, user)


def remove(report: TakeDownReport, user: User) -> None:
    """Remove the job's files at once, inputs included, and keep a receipt.

    Raises:
        Problem: `conflict` when somebody has decided already, when there is no such job, or while it is still
            rendered: then it has been requested to stop, and this is to be repeated.
    """
    if report.job is None:
        raise Problem("conflict", "No job of this id is known here; there is nothing to remove.")
    _stop(report.job)
    with transaction.atomic():
        locked = _lock_open(report)
        locked.receipt = _removed(report.job)
        _decide(locked, State.REMOVED, user)


def remove_and_block(report: TakeDownReport, user: User) -> None:
    """The same, and no job may use the picture any more.

    Raises:
        Problem: `conflict` as from `remove`, or where the job has no picture that is known by a hash.
    """
    picture_hash = report.job and report.job.inputs["reference"].get("picture_hash")
    if picture_hash is None:
        raise Problem("conflict", "Only pictures of jobs that are known here can be blocked, and no videos.")
    remove(report, user)
    BlockedPicture.objects.get_or_create(picture_hash=picture_hash, defaults={"category": report.reason})


def _stop(job: Job) -> None:
    if job.status in OPEN and services.cancel_job(job=job).status in OPEN:
        raise Problem("conflict", "The job is being stopped. Remove its files in a few seconds.")


def _removed(job: Job) -> dict[str, str | int | None]:
    prefix = storage_keys.job_prefix(job.organization_id, job.id)
    files = sum(len(page) for page in objects.pages(prefix))
    retention.expire(job)
    return {"job": job.id, "files": files, "video_sha256": (job.output or {}).get("sha256")}


def _lock_open(report: TakeDownReport) -> TakeDownReport:
    locked = TakeDownReport.objects.select_for_update().get(pk=report.pk)
    if locked.state != State.OPEN:
        raise Problem("conflict", f"This report has been {locked.state} already.")
    return locked


def _decide(report: TakeDownReport, state: TakeDownReport.State, user: User) -> None:
    report.state, report.decided_by, report.decided_at = state, user, timezone.now()
    report.save()
