"""Files are kept for the plan's time after a job has ended; the record stays."""

from django.utils import timezone

from gpu_worker.contract import storage_keys
from jobs.each import for_each
from jobs.models import Job
from jobs.storage import objects

BATCH = 100


def prune_expired() -> int:
    """Remove the files of jobs whose time is over.

    Returns:
        How many jobs expired.
    """
    due = Job.objects.filter(expired=False, expires_at__lte=timezone.now())
    return sum(for_each(due.order_by("expires_at")[:BATCH], expire, "expired job"))


def expire(job: Job) -> bool:
    """Remove everything that the job has in the store, then mark it; stopped in between, it is repeated.

    The addresses that a retry would fetch from go as well.
    """
    objects.delete_prefix(storage_keys.job_prefix(job.organization_id, job.id))
    return bool(Job.objects.filter(pk=job.pk, expired=False).update(expired=True, urls=None))
