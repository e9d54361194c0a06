"""Each request of Django's as a line in the log and in the metrics: by route, never by path.

A path may hold a signed link or a tenant's ids; a route is one of those in `urls.py`.
"""

import logging
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

from gpu_worker.common import telemetry

log = logging.getLogger(__name__)

UNKNOWN_ROUTE = "unknown"
# Every few seconds, and of interest to nobody while all is well.
MACHINE_ROUTES = frozenset({"healthz", "readyz", "metrics"})

requests_total = Counter(
    "avatar_http_requests", "Requests answered, by route and status.", ["method", "route", "status"]
)
request_seconds = Histogram(
    "avatar_http_request_seconds",
    "Time to the answer's first byte, by route.",
    ["route"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


class ObservationMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        begin = time.perf_counter()
        with telemetry.span("request"):
            response = self.get_response(request)
            observe(request, response.status_code, time.perf_counter() - begin)
        return response


def observe(request: HttpRequest, status: int, seconds: float) -> None:
    route = request.resolver_match.route if request.resolver_match else UNKNOWN_ROUTE
    method = request.method if request.method in METHODS else "other"
    requests_total.labels(method, route, status).inc()
    request_seconds.labels(route).observe(seconds)
    facts: dict[str, str | int] = {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
    }
    telemetry.describe(f"{method} {route}", **facts)
    fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
    level = logging.DEBUG if route in MACHINE_ROUTES else logging.INFO
    log.log(level, "%s %s %s", method, route, status, extra={"fields": fields})


class RouteFilter(logging.Filter):
    """Has Django name the route of a request that failed, where it would name the path."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        match = getattr(request, "resolver_match", None)
        record.msg, record.args = "a request to %s failed", (match.route if match else UNKNOWN_ROUTE,)
        return True


# Clients may write anything as a method, and each new label is a new time series.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
