"""The error of a failed job as its owner may see it, whatever its worker says."""

import re
from dataclasses import dataclass

from gpu_worker.contract import reading
from gpu_worker.contract.error_codes import ERROR_CODES, JOB_ERROR_CODES
from gpu_worker.contract.reading import UnreadableError
from gpu_worker.contract.spec import RenderReport

UNKNOWN = "internal_error"
MAX_DETAIL = 300
# A path, an address or a traceback is written for us, not for the owner of a job.
INTERNAL = re.compile(r"(^|[\s\"'(=])(/|~/|[A-Za-z]:\\|\.{1,2}/)\S|://|[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class JobError:
    """A code of the contract, and a sentence."""

    code: str
    detail: str


def reported(report: RenderReport) -> JobError:
    """What a report of a failure says, as far as it is fit for the job's owner; the rest is counted."""
    code, detail = report.error_code or UNKNOWN, report.error_detail or ""
    if code not in JOB_ERROR_CODES:
        reading.dropped("an error code", UnreadableError("unknown"))
        return JobError(UNKNOWN, ERROR_CODES[UNKNOWN].title)
    if len(detail) > MAX_DETAIL or INTERNAL.search(detail):
        reading.dropped("an error's detail", UnreadableError("unfit for the job's owner"))
        return JobError(code, ERROR_CODES[code].title)
    return JobError(code, detail)
