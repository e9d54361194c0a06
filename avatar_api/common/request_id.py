"""One id per request, in its answer and in every log line that it causes."""

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse

from gpu_worker.common import logs

request_id: ContextVar[str] = ContextVar("request_id", default="-")

VISIBLE_ASCII = re.compile(r"[!-~]{1,128}")


def chosen_id(given: str) -> str:
    """The client's own id when it is 1–128 visible ASCII characters, else a new one."""
    return given if VISIBLE_ASCII.fullmatch(given) else uuid.uuid4().hex


class RequestIdMiddleware:
    """Gives each request its id, and its response the header X-Request-Id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = request_id.set(chosen_id(request.headers.get("X-Request-Id", "")))
        try:
            with logs.bound(request=request_id.get()):
                response = self.get_response(request)
            response["X-Request-Id"] = request_id.get()
            return response
        finally:
            request_id.reset(token)


class RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True
