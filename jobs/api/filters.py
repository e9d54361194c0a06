"""The filters of `GET /v1/jobs`."""

import re
from collections.abc import Mapping
from datetime import datetime

from django.utils.dateparse import parse_datetime

from avatar_api.common.problems import FieldError, invalid
from avatar_api.common.tenant_queryset import TenantQuerySet
from jobs.models import Job
from jobs.states import Status

METADATA = re.compile(r"metadata\[(.{1,40})\]", re.DOTALL)
TIMES = {"created_after": "created_at__gte", "created_before": "created_at__lt"}
PAGING = {"limit", "cursor"}


def filtered(jobs: TenantQuerySet[Job], params: Mapping[str, str]) -> TenantQuerySet[Job]:
    """The jobs that `params` ask for; `created_after` includes its instant, `created_before` excludes it.

    Raises:
        Problem: `validation_error` naming a filter that is unknown or can't be read.
    """
    for name in params.keys() - PAGING:
        value = params[name]
        if "\x00" in name + value:
            raise invalid(FieldError(name, "invalid", "NUL characters aren't allowed."))
        if name == "status":
            jobs = jobs.filter(status=_status(value))
        elif name in TIMES:
            jobs = jobs.filter(**{TIMES[name]: _time(name, value)})
        elif match := METADATA.fullmatch(name):
            jobs = jobs.filter(metadata__contains={match.group(1): value})
        else:
            raise invalid(FieldError(name, "unknown", "This parameter is unknown."))
    return jobs


def _status(value: str) -> str:
    if value not in Status.values:
        raise invalid(FieldError("status", "invalid", f"One of {', '.join(Status.values)} is expected."))
    return value


def _time(name: str, value: str) -> datetime:
    try:
        moment = parse_datetime(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid(FieldError(name, "invalid", "A time such as 2026-11-21T18:27:27Z is expected."))
    return moment
