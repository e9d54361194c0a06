"""Errors to Sentry and traces to an OpenTelemetry collector, for operators who have one.

Off unless SENTRY_DSN or OTEL_EXPORTER_OTLP_ENDPOINT is set; then the packages of requirements/telemetry.txt
must be there. What leaves the house is what is named here: ids, routes, code, and the first line of an error
with addresses, keys and people taken out. Never a body, a header, an IP address or a variable.

A trace follows a job: the request that made it, what control does for it, and its renders.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from environs import FileAwareEnv

from gpu_worker.common import logs

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.trace import Tracer
    from sentry_sdk.types import Event, Hint

env = FileAwareEnv(strip_whitespace=True)

_tracer: "Tracer | None" = None


class TelemetryError(Exception):
    """A variable asks for what isn't installed."""


def set_up(service: str) -> None:
    """Begin to send what the environment asks for; call it once, when a process starts.

    Args:
        service: The name under which this kind of process is known there.

    Raises:
        TelemetryError: The packages for it are missing.
    """
    try:
        if dsn := env.str("SENTRY_DSN", ""):
            report_errors(dsn, service)
        if env.str("OTEL_EXPORTER_OTLP_ENDPOINT", ""):
            trace_to(otlp_processor(), service)
    except ImportError as error:
        raise TelemetryError(
            f"SENTRY_DSN or OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} isn't installed: "
            "pip install --requirement requirements/telemetry.txt, or unset it."
        ) from error


# --- Errors ---


def report_errors(dsn: str, service: str) -> None:
    """Send what is logged as an error, and what ends a process."""
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=dsn,
        # The others would bring requests, command lines and tasks with their arguments, a token among them.
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            ExcepthookIntegration(),
            AtexitIntegration(lambda pending, timeout: None),  # It sends what is left, and says nothing.
        ],
        before_send=scrubbed,
        include_local_variables=False,
        max_breadcrumbs=0,
        server_name=service,
    )


KEPT = frozenset(
    {"event_id", "timestamp", "level", "logger", "platform", "release", "environment", "server_name", "sdk"}
)


def scrubbed(event: "Event", hint: "Hint") -> "Event":
    """The event with nothing in it but what is known to be harmless, and the ids of its log lines."""
    clean: dict[str, Any] = {name: value for name, value in event.items() if name in KEPT}
    if "logentry" in event:
        # The message as it stands in the code: what was filled in may be anything.
        clean["logentry"] = {"message": harmless(str(event["logentry"].get("message", "")))}
    if "exception" in event:
        clean["exception"] = {"values": [exception(value) for value in event["exception"]["values"]]}
    clean["tags"] = {name: str(value) for name, value in logs.current().items()}
    return clean  # type: ignore[return-value]


def exception(value: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value[name] for name in ("type", "module", "stacktrace") if value.get(name)}
    return kept | {"value": harmless(str(value.get("value", "")))}


HIDDEN = re.compile(
    r"\?\S+"  # the query of an address, which may be a signature
    r"|/v1/files/\S+"  # which is one
    r"|(?<=://)[^\s/@]+@"  # user and password in front of a host
    r"|\b(?:av_(?:live|test)|whsec|Bearer)[_ ]\S+"
    r"|[\w.+-]+@[\w-]+\.[\w.]+"  # an e-mail address
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9a-fA-F]{1,4}:){3,}[0-9a-fA-F:]+"  # an IP address
)
MAX_CHARACTERS = 200


def harmless(text: str) -> str:
    """The first line of an error's text, without what may be secret or personal.

    Further lines are where databases quote rows.
    """
    return HIDDEN.sub("…", text.partition("\n")[0])[:MAX_CHARACTERS]


# --- Traces ---


def otlp_processor() -> "SpanProcessor":
    """Sends spans by OTLP over HTTP, as the OTEL_ variables of the SDK say."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())


def trace_to(processor: "SpanProcessor", service: str) -> "TracerProvider":
    """Give every span from now on to `processor`, until what is returned is shut down."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _tracer
    # OTEL_SERVICE_NAME, where it is set, is put over this name by the SDK.
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("avatar")
    return provider


@contextmanager
def span(name: str, *, parent: str = "", **attributes: str | int) -> Iterator[None]:
    """Trace what happens inside; nothing where nobody traces.

    Args:
        name: Of a kind of work, never of one object.
        parent: The span that asked for it, as `traceparent` wrote it; without one, that around it.
        attributes: What else is to be known of it. The ids of its log lines are added.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    with _tracer.start_as_current_span(
        name, context, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            current.set_attributes({f"avatar.{name}": str(value) for name, value in logs.current().items()})


def describe(name: str, **attributes: str | int) -> None:
    """Name the span around this, once it is known what it is about."""
    if _tracer is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().update_name(name)
        get_current_span().set_attributes(attributes)


def traceparent() -> str:
    """The span around this as W3C's Trace Context writes it; empty where nobody traces."""
    if _tracer is None:
        return ""
    from opentelemetry.trace import get_current_span

    found = get_current_span().get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}" if found.is_valid else ""
