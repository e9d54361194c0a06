"""Pages for those who write clients: the OpenAPI document, two ways to read it, and every error code.

Nothing here is fetched from elsewhere: scripts and styles come with the deployment, and the pages'
Content-Security-Policy lets browsers ask nobody else.
"""

import json
from dataclasses import dataclass
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator

from avatar_api.common.problems import CODES, safe_only
from jobs.states import RETRYABLE_ERRORS

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; worker-src blob:"
)

JOB_ERRORS = {
    "audio_too_short": "The speech is shorter than 0.3 seconds.",
    "audio_too_long": "The speech is longer than the plan allows.",
    "audio_unreadable": "The speech can't be decoded, or holds no sound.",
    "audio_silent": "Nothing can be heard in the speech.",
    "image_unreadable": "The image can't be decoded.",
    "image_too_large": "The image has too many pixels.",
    "image_too_small": "The image has too few pixels.",
    "video_unreadable": "The video can't be decoded, or holds no picture.",
    "face_not_found": "No face was found where one is needed.",
    "download_failed": "An address didn't answer as it should, or not in time.",
    "download_forbidden": "An address leads where we don't go, or its server forbids it.",
    "out_of_memory": "The machine that rendered ran out of memory.",
    "timed_out": "Rendering took longer than it may.",
    "worker_lost": "The machine that rendered was lost, more than once.",
    "model_unavailable": "The model can't be loaded at the moment.",
    "storage_failed": "The object store can't be reached.",
    "internal_error": "Something went wrong on our side.",
}
"""What the codes of `job.error.code` mean."""


@dataclass(frozen=True)
class ErrorRow:
    """One code of the table.

    Attributes:
        statuses: HTTP statuses with which it comes; none for a code that only jobs and files have.
        of_job: Whether a failed job, or a file in a request, may have it.
    """

    code: str
    statuses: tuple[int, ...]
    of_job: bool
    meaning: str
    retryable: bool


def error_rows() -> list[ErrorRow]:
    """Every code once: those of answers by status, then those of jobs."""
    of_answers = [
        ErrorRow(code, (told.status,), code in JOB_ERRORS, told.title, told.retryable)
        for code, told in CODES.items()
    ]
    of_jobs = [
        ErrorRow(code, (), of_job=True, meaning=meaning, retryable=code in RETRYABLE_ERRORS)
        for code, meaning in JOB_ERRORS.items()
        if code not in CODES
    ]
    return of_answers + of_jobs


@cache
def document() -> bytes:
    """The OpenAPI document as JSON; it is the same until the process ends."""
    return json.dumps(SchemaGenerator().get_schema(request=None, public=True)).encode()


@safe_only
def openapi(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(document(), content_type="application/json")
    response["Cache-Control"] = "public, max-age=300"
    return response


@safe_only
def swagger(request: HttpRequest) -> HttpResponse:
    return page(request, "swagger.html")


@safe_only
def redoc(request: HttpRequest) -> HttpResponse:
    return page(request, "redoc.html")


@safe_only
def errors(request: HttpRequest) -> HttpResponse:
    return page(request, "errors.html", rows=error_rows())


def page(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    response = render(request, f"documentation/{template}", context)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response
