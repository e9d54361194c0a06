"""The filters of `GET /v1/jobs`."""

import re
from functools import reduce
from operator import or_

from django.db.models import Q
from django.http import QueryDict

from avatar_api.common.parameters import NEGOTIATED
from avatar_api.common.problems import FieldError, invalid
from avatar_api.common.tenant_queryset import TenantQuerySet
from avatar_api.common.times import TimeError, read_time
from jobs.models import Job
from jobs.states import Status

METADATA = re.compile(r"metadata\[(.{1,40})\]", re.DOTALL)
TIMES = {"created_after": "created_at__gte", "created_before": "created_at__lt"}
NO_FILTERS = {"limit", "cursor", NEGOTIATED}


def filtered(jobs: TenantQuerySet[Job], params: QueryDict) -> TenantQuerySet[Job]:
    """The jobs that `params` ask for: of a filter that is given several times, any.

    `created_after` includes its instant, `created_before` excludes it.

    Raises:
        Problem: `validation_error` naming each filter that is unknown or can't be read.
    """
    conditions, faults = [], []
    for name in sorted(params.keys() - NO_FILTERS):
        try:
            conditions.append(reduce(or_, (_condition(name, value) for value in params.getlist(name))))
        except FilterError as error:
            faults.append(FieldError(name, error.code, str(error)))
    if faults:
        raise invalid(*faults)
    return jobs.filter(*conditions)


class FilterError(Exception):
    """A filter that is unknown or can't be read."""

    def __init__(self, detail: str, code: str = "invalid") -> None:
        super().__init__(detail)
        self.code = code


def _condition(name: str, value: str) -> Q:
    if "\x00" in name + value:
        raise FilterError("NUL characters are not allowed.")
    if name == "status":
        return Q(status=_status(value))
    if name in TIMES:
        return _time(TIMES[name], value)
    if match := METADATA.fullmatch(name):
        return Q(metadata__contains={match.group(1): value})
    raise FilterError("This parameter is unknown.", "unknown")


def _status(value: str) -> str:
    if value not in Status.values:
        raise FilterError(f"Must be one of {', '.join(Status.values)}.")
    return value


def _time(lookup: str, value: str) -> Q:
    try:
        return Q(**{lookup: read_time(value)})
    except TimeError as error:
        raise FilterError(str(error)) from error
