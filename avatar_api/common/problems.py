"""Errors as RFC 9457 problem documents: one table of codes, one exception, one translation."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig, SuspiciousOperation, TooManyFilesSent
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.template.loader import get_template
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from avatar_api.common.request_id import request_id
from avatar_api.common.transient_errors import encountered, transient_cause
from gpu_worker.contract.error_codes import ERROR_CODES, ErrorCode

log = logging.getLogger(__name__)

DOCUMENTATION = "/docs/errors"
MEDIA_TYPE = "application/problem+json"
SOON = {"Retry-After": "5"}
SAFE = ("GET", "HEAD")


CODES: dict[str, ErrorCode] = {code: entry for code, entry in ERROR_CODES.items() if entry.status}
"""Those of answers; each is an entry of the one table."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of the request."""

    field: str
    code: str
    detail: str


class Problem(exceptions.APIException):
    """An error of the contract, raised where it arises and written at the edge."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.status_code = CODES[code].status
        self.errors = errors
        self.headers = dict(headers or {})
        super().__init__(detail or CODES[code].title, code)


def invalid(*errors: FieldError) -> Problem:
    """The problem of a request whose fields don't fit."""
    return Problem("validation_error", "; ".join(f"{e.field}: {e.detail}" for e in errors), errors=errors)


def document(problem: Problem) -> dict[str, Any]:
    """The body of a problem."""
    code = CODES[problem.code]
    body: dict[str, Any] = {
        "type": f"{DOCUMENTATION}#{problem.code}",
        "title": code.title,
        "status": code.status,
        "detail": str(problem.detail),
        "instance": request_id.get(),
        "code": problem.code,
        "retryable": code.retryable,
    }
    if problem.errors:
        body["errors"] = [asdict(error) for error in problem.errors]
    return body


class ProblemResponse(Response):
    """A problem: JSON of its own media type, or for a person a page of the browsable API."""

    @property
    def rendered_content(self) -> Any:
        if not isinstance(self.accepted_renderer, BrowsableAPIRenderer):
            self.content_type = MEDIA_TYPE
        return super().rendered_content


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's hook: every expected exception becomes a problem; what is unexpected goes on to Django."""
    problem = translate(error)
    if problem is None:
        return None
    set_rollback()
    response = ProblemResponse(document(problem), status=problem.status_code)
    for name, value in problem.headers.items():
        response[name] = value
    return response


def translate(error: Exception) -> Problem | None:
    """The problem that an exception stands for, or None for a fault of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, exceptions.ValidationError):
        return invalid(*flatten(error.detail))
    if cause := transient_cause(error):
        log.exception("%s", cause)
        encountered.add(cause)
        return Problem("service_unavailable", headers=SOON)
    for kind, code in TRANSLATIONS:
        if isinstance(error, kind):
            return Problem(code, described(error), headers=headers_of(error))
    return None


TRANSLATIONS: tuple[tuple[type[Exception], str], ...] = (
    (RequestDataTooBig, "payload_too_large"),
    (TooManyFilesSent, "parse_error"),
    (MultiPartParserError, "parse_error"),
    (UnreadablePostError, "parse_error"),
    (BadRequest, "parse_error"),
    (SuspiciousOperation, "parse_error"),
    (exceptions.ParseError, "parse_error"),
    (exceptions.NotAuthenticated, "authentication_required"),
    (exceptions.AuthenticationFailed, "invalid_api_key"),
    (exceptions.PermissionDenied, "permission_denied"),
    (DjangoPermissionDenied, "permission_denied"),
    (exceptions.NotFound, "not_found"),
    (Http404, "not_found"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.NotAcceptable, "not_acceptable"),
    (exceptions.UnsupportedMediaType, "unsupported_media_type"),
    (exceptions.Throttled, "rate_limited"),
)


def described(error: Exception) -> str:
    """DRF's own sentences are written for clients; Django's may quote what came in, so they are left out."""
    if isinstance(error, exceptions.NotFound) or not isinstance(error, exceptions.APIException):
        return ""
    return str(error.detail)


def headers_of(error: Exception) -> dict[str, str]:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]
    if getattr(error, "wait", None):
        headers["Retry-After"] = f"{error.wait:.0f}"  # type: ignore[attr-defined]
    return headers


def flatten(detail: Any, path: str = "") -> Iterator[FieldError]:
    """DRF's nested validation detail as a flat list of field errors with dotted paths."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from flatten(inner, ".".join(filter(None, (path, own))))
    elif isinstance(detail, (list, tuple)):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, Mapping) and inner
            yield from flatten(inner, f"{path}.{index}" if nested else path)
    else:
        yield FieldError(path, getattr(detail, "code", "invalid"), str(detail))


def respond(code: str, headers: Mapping[str, str] | None = None) -> JsonResponse:
    problem = Problem(code)
    return JsonResponse(
        document(problem),
        status=problem.status_code,
        headers=headers,
        content_type=MEDIA_TYPE,
        json_dumps_params={"separators": (",", ":"), "ensure_ascii": False},  # As DRF writes it.
    )


PlainView = Callable[[HttpRequest], HttpResponse]


def safe_only(view: PlainView) -> PlainView:
    """Let a view of plain Django be asked by GET and HEAD alone; its other answers are problems."""

    @csrf_exempt  # It changes nothing, and for an unknown method a page about CSRF would come first.
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in SAFE:
            return view(request)
        response = respond("method_not_allowed")
        response["Allow"] = ", ".join(SAFE)
        return response

    return answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page_or_document(request, "parse_error")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page_or_document(request, "permission_denied")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Mostly a form that was open while its session ended."""
    return page_or_document(request, "permission_denied")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return page_or_document(request, "not_found")


def server_error(request: HttpRequest) -> HttpResponse:
    """What fails outside of our views, such as a session that can't be read: some of it passes."""
    error = sys.exc_info()[1]
    if error is not None and transient_cause(error):
        return page_or_document(request, "service_unavailable", SOON)
    return page_or_document(request, "internal_error")


def page_or_document(
    request: HttpRequest, code: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A problem as a page for people with a browser, and as JSON for programs."""
    if not is_browser(request):
        return respond(code, headers)
    # From nothing but its template: what failed may be what other pages need.
    page = get_template("problem.html").render({"problem": CODES[code], "request_id": request_id.get()})
    return HttpResponse(page, status=CODES[code].status, headers=dict(headers or {}))


def is_browser(request: HttpRequest) -> bool:
    """Whether a person looks at the answer. Below /v1/ that is who has a session; a key's is a program."""
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return wants_page(request) and (has_session or not request.path.startswith("/v1/"))


def wants_page(request: HttpRequest) -> bool:
    """Whether the request is one that browsers send when an address is opened."""
    asks_for_pages = "text/html" in request.headers.get("Accept", "")
    with_key = "Authorization" in request.headers or "X-API-Key" in request.headers
    return asks_for_pages and not with_key
