"""On which consent jobs rest: whether one is required, and its entry in the audit log."""

from auditlog.models import LogEntry

from accounts.limits import Limits
from avatar_api.common.problems import FieldError, invalid
from jobs.models import Job


def check(consent: dict[str, str] | None, limits: Limits) -> None:
    """Raises: Problem: `validation_error` at `consent` where the plan requires one and there is none."""
    if consent is None and limits.consent_required:
        detail = "Say whose likeness the video shows and who allowed it: subject, basis and reference."
        raise invalid(FieldError("consent", "required", detail))


def record(job: Job) -> None:
    """Log who attested what for this job; a job without a consent leaves no entry."""
    if job.consent is not None:
        changes = {name: ["None", value] for name, value in job.consent.items()}
        LogEntry.objects.log_create(job, force_log=True, action=LogEntry.Action.CREATE, changes=changes)
