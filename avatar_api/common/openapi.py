"""The OpenAPI document: what operations share is added here, so that a view says only what is its own.

A view names its operation with `operation`; `Schema` adds headers and the problems that follow from what
the operation takes; `complete` adds the components that they refer to.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, extend_schema

from avatar_api.common.fields import StrictSerializer
from avatar_api.common.openapi_problems import (
    Document,
    codes_of,
    phrase,
    problem_example,
    problem_responses,
    reference,
)
from avatar_api.common.pagination import DEFAULT_LIMIT, MAX_LIMIT
from avatar_api.common.problems import CODES, DOCUMENTATION

Handler = TypeVar("Handler", bound=Callable[..., Any])

TAGS = {
    "jobs": ("Jobs", "Turns a portrait and speech into a talking video."),
    "estimates": ("Jobs", ""),
    "voices": ("Jobs", ""),
    "assets": ("Assets", "Files uploaded directly to the object store."),
    "webhooks": ("Webhooks", "Events sent to you, signed by Standard Webhooks."),
    "api-keys": ("API keys", "API keys of the caller's organization and mode."),
    "members": ("Members", "People of an organization, for its owners in a session; never for keys."),
    "invitations": ("Members", ""),
    "me": ("Account", "The caller, its limits and its usage."),
    "usage": ("Account", ""),
    "files": ("Files", "Served by the API in deployments without an object store."),
    "readyz": ("Health", "For operators of the deployment."),
}

ALWAYS = ("internal_error", "service_unavailable")
WITH_KEY = (
    "authentication_required",
    "invalid_api_key",
    "api_key_expired",
    "api_key_revoked",
    "permission_denied",
    "ip_not_allowed",
    "organization_suspended",
    "not_acceptable",
    "rate_limited",
)
WITH_BODY = (
    "parse_error",
    "request_timeout",
    "payload_too_large",
    "unsupported_media_type",
    "concurrency_limited",
    "validation_error",
)
WITH_QUERY = ("validation_error",)
WITH_ID = ("not_found",)
COMMON = frozenset({*ALWAYS, *WITH_KEY, *WITH_BODY, *WITH_ID})

HEADERS: dict[str, Document] = {
    "X-Request-Id": {"description": "Identifies the request in the logs.", "required": True},
    "Cache-Control": {"description": "Responses are private; those with an ETag can be revalidated."},
    "RateLimit-Policy": {
        "description": 'The limit that counted, such as `"create";q=60;w=60`: 60 requests in 60 seconds.'
    },
    "RateLimit": {
        "description": 'What is left of it, such as `"create";r=12;t=30`: 12 requests; more in 30 seconds.'
    },
    "Retry-After": {"description": "Seconds to wait before retrying.", "schema": "integer"},
    "WWW-Authenticate": {"description": "`Bearer`.", "required": True},
    "Location": {"description": "The URL to follow.", "required": True},
    "ETag": {"description": "Changes with the job; signed addresses don't change it.", "required": True},
    "Idempotent-Replayed": {"description": "`true` when an earlier request made this object."},
    "Preference-Applied": {"description": "The `wait` that was applied."},
}
HEADERS_OF_STATUS = {
    "401": ("WWW-Authenticate",),
    "409": ("Retry-After",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}

PARAMETERS: dict[str, Document] = {
    "X-Request-Id": {
        "description": "Used as given if it consists of 1–128 visible ASCII characters.",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "description": (
            "The same key and body within 24 hours return the object created by the first request."
        ),
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "Prefer": {
        "description": "`wait=N` delays the response until the job ends, at most N seconds (up to 60).",
        "schema": {"type": "string"},
        "example": "wait=30",
    },
    "If-None-Match": {
        "description": "A known ETag; the response is 304 if nothing has changed.",
        "schema": {"type": "string"},
    },
    "Last-Event-ID": {
        "description": "The id of the last event received.",
        "schema": {"type": "string"},
    },
    "X-Organization": {
        "description": "The organization of a signed-in person; implied by API keys. Default: as chosen.",
        "schema": {"type": "string"},
    },
    "X-Mode": {
        "description": "`live` or `test`, for a signed-in person; implied by API keys. Default: as chosen.",
        "schema": {"type": "string"},
        "example": "live",
    },
}
OF_EVERY_REQUEST = ("X-Request-Id", "X-Organization", "X-Mode")

PAGE_PARAMETERS = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        description="Items per page.",
    ),
    OpenApiParameter("cursor", str, description="`next_cursor` of the previous page."),
]

SECURITY_SCHEMES: dict[str, Document] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "av_live_… or av_test_…",
        "description": "Your API key: `Authorization: Bearer av_test_…`.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The API key in a separate header. `Authorization` takes precedence.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "__Host-sessionid",
        "description": "The session of a person who has logged in; writes carry `X-CSRFToken`, too.",
    },
}
SESSION: list[dict[str, list[str]]] = [{"session": []}]
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]

PROBLEM: Document = {
    "type": "object",
    "description": f"What went wrong (RFC 9457). Every code is explained at {DOCUMENTATION}.",
    "required": ["type", "title", "status", "detail", "instance", "code", "retryable"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "description": "URL of the code's documentation.",
        },
        "title": {"type": "string", "description": "The same for every occurrence of a code."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "About this occurrence, for people."},
        "instance": {"type": "string", "description": "The request's id."},
        "code": {"type": "string", "enum": sorted(CODES), "description": "Stable and machine-readable."},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "errors": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/FieldError"},
            "description": "With `validation_error`: what is wrong with which field.",
        },
    },
}
FIELD_ERROR: Document = {
    "type": "object",
    "required": ["field", "code", "detail"],
    "properties": {
        "field": {"type": "string", "description": "Its name; nested ones with dots; empty for the whole."},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}

HEALTH: Document = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "down"]},
        "checks": {
            "type": "object",
            "description": "By part of the deployment: whether it answers, and how soon.",
            "additionalProperties": {
                "type": "object",
                "required": ["ok", "latency_ms"],
                "properties": {"ok": {"type": "boolean"}, "latency_ms": {"type": "number"}},
            },
        },
        "details": {
            "type": "object",
            "description": "What else is known, and makes nobody less ready: `runpod`, where an endpoint's "
            "workers are woken for jobs.",
            "additionalProperties": {
                "type": "object",
                "required": ["ok"],
                "properties": {"ok": {"type": "boolean"}},
            },
        },
    },
}


def operation(
    operation_id: str,
    *,
    raises: Sequence[str] = (),
    accepts: Sequence[str] = (),
    headers: Mapping[int, Sequence[str]] | None = None,
    idempotent: bool = False,
    **described: Any,
) -> Callable[[Handler], Handler]:
    """Document a handler.

    Args:
        operation_id: What generated clients call it.
        raises: Codes of problems beyond those that follow from the operation's form.
        accepts: Request headers, of `PARAMETERS`.
        headers: By status, what answers carry beyond what all do, of `HEADERS`.
        idempotent: Whether it takes an `Idempotency-Key`.
        described: As `drf_spectacular.utils.extend_schema` takes it.
    """

    def decorate(handler: Handler) -> Handler:
        documented = Documented(
            tuple(raises),
            tuple(accepts),
            {str(status): tuple(names) for status, names in (headers or {}).items()},
        )
        handler.documented = documented.idempotent() if idempotent else documented  # type: ignore[attr-defined]
        return extend_schema(operation_id=operation_id, **described)(handler)

    return decorate


class Documented:
    """What a handler says of itself beyond drf-spectacular's vocabulary."""

    def __init__(
        self,
        raises: tuple[str, ...] = (),
        accepts: tuple[str, ...] = (),
        headers: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.raises = raises
        self.accepts = accepts
        self.headers = headers or {}

    def idempotent(self) -> "Documented":
        """The same for a handler that takes an `Idempotency-Key`, and so may answer with an older object."""
        replayed = {made: (*self.headers.get(made, ()), "Idempotent-Replayed") for made in ("201", "202")}
        return Documented(
            (*self.raises, "idempotency_key_in_use", "idempotency_key_reused"),
            ("Idempotency-Key", *self.accepts),
            {**self.headers, **replayed},
        )


class Schema(AutoSchema):
    """Adds to each operation what all of its kind have."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Document | None:
        described: Document | None = super().get_operation(*args, **kwargs)
        if described is None:
            return None
        view: Any = self.view
        own: Documented = getattr(self._handler, "documented", Documented())
        parameters = described.setdefault("parameters", [])
        codes = {*ALWAYS, *WITH_KEY, *own.raises}
        codes.update(WITH_BODY if "requestBody" in described else ())
        codes.update(WITH_QUERY if any(item["in"] == "query" for item in parameters) else ())
        codes.update(WITH_QUERY if view.for_people else ())  # `X-Mode` is read.
        codes.update(WITH_ID if any(item["in"] == "path" for item in parameters) else ())
        parameters += [reference("parameters", name) for name in (*own.accepts, *OF_EVERY_REQUEST)]
        described["responses"].update(problem_responses(codes))
        for status, response in described["responses"].items():
            add_headers(status, response, own.headers.get(status, ()))
        return described

    @property
    def _handler(self) -> Any:
        return getattr(self.view, self.method.lower(), None)

    def get_summary(self) -> str:
        """The first sentence of the handler's docstring."""
        return re.split(r"\.\s|\.$", str(super().get_description()))[0].replace("`", "")

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's takes nothing either.
        """The handler's docstring, and the scope that a key needs."""
        text = str(super().get_description())
        view: Any = self.view
        scope = view.required_scope[self.method]
        if view.for_people:
            return f"{text}\n\nFor owners who are logged in; API keys are refused."
        return f"{text}\n\nScope: `{scope}`." if scope else f"{text}\n\nAny valid key will do."

    def get_serializer_name(self, *args: Any, **kwargs: Any) -> str:
        """Requests get their ending from drf-spectacular."""
        return str(super().get_serializer_name(*args, **kwargs)).removesuffix("Request")

    def _map_basic_serializer(self, serializer: Any, direction: str) -> Document:
        schema: Document = super()._map_basic_serializer(serializer, direction)
        if isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        return schema

    def get_tags(self) -> list[str]:
        return [TAGS[self.path.split("/")[2]][0]]

    def get_auth(self) -> list[dict[str, list[str]]]:
        view: Any = self.view
        return SESSION if view.for_people else SECURITY


def add_headers(status: str, response: Document, own: Iterable[str]) -> None:
    names = ("X-Request-Id", "Cache-Control", "RateLimit-Policy", "RateLimit")
    all_names = (*own, *HEADERS_OF_STATUS.get(status, ()), *names)
    response.setdefault("headers", {}).update({name: reference("headers", name) for name in all_names})
    response["description"] = response["description"] or phrase(status)


def complete(result: Document, **_: Any) -> Document:
    """A hook of drf-spectacular: add what `Schema` refers to, and the tags."""
    components = result.setdefault("components", {})
    components["responses"] = share_problems(result["paths"])
    components["schemas"] |= {"Problem": PROBLEM, "FieldError": FIELD_ERROR, "Health": HEALTH}
    components["headers"] = {name: header(**parts) for name, parts in HEADERS.items()}
    components["parameters"] = {
        name: {"name": name, "in": "header", "required": False, **parts} for name, parts in PARAMETERS.items()
    }
    components["examples"] = {code: problem_example(code) for code in CODES}
    components["securitySchemes"] = SECURITY_SCHEMES
    result["tags"] = [{"name": name, "description": text} for name, text in TAGS.values() if text]
    return result


def share_problems(paths: Document) -> dict[str, Document]:
    """Replace equal responses of operations with a key by references to one, and return these by name."""
    shared = {}
    operations = (operation for methods in paths.values() for operation in methods.values())
    for operation in (each for each in operations if each["security"] in (SECURITY, SESSION)):
        for status, response in operation["responses"].items():
            if status >= "400":
                name = "-".join((status, *(code for code in codes_of(response) if code not in COMMON)))
                shared[name] = response
                operation["responses"][status] = reference("responses", name)
    return dict(sorted(shared.items()))


def header(description: str, schema: str = "string", *, required: bool = False) -> Document:
    return {"description": description, "required": required, "schema": {"type": schema}}
