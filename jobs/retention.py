"""Files are kept for the plan's time after a job has ended; the record stays."""

from pathlib import Path
from shutil import rmtree

from django.core.files.storage import default_storage
from django.utils import timezone

from gpu_worker.contract import storage_keys
from jobs.models import Job

BATCH = 100


def expire_due() -> int:
    """Remove the files of jobs whose time is over.

    Returns:
        How many jobs expired.
    """
    due = Job.objects.filter(expired=False, expires_at__lte=timezone.now())
    return sum(expire(job) for job in due.order_by("expires_at")[:BATCH])


def expire(job: Job) -> bool:
    """Remove everything that the job has in the store, then mark it; stopped in between, it is repeated.

    The addresses that a retry would fetch from go as well.
    """
    delete_prefix(storage_keys.job_prefix(job.organization_id, job.id))
    return bool(Job.objects.filter(pk=job.pk, expired=False).update(expired=True, urls=None))


def delete_prefix(prefix: str) -> None:
    """Delete every object below a prefix of the store; in a folder store the folders as well."""
    if hasattr(default_storage, "bucket"):
        default_storage.bucket.objects.filter(Prefix=prefix).delete()
    elif Path(default_storage.path(prefix)).exists():
        rmtree(default_storage.path(prefix))
