"""Operations that no view of the API describes: the events of a job, files by signed addresses, health."""

from typing import Any

from avatar_api.common.openapi import SECURITY, add_headers
from avatar_api.common.openapi_problems import problem_responses, reference

JOB = "/v1/jobs/{job_id}"
EVENTS = """The job's changes as server-sent events, until it has ended.

`status` when its status changed, `progress` for everything else and when work on it begins, `done` at the
end. Each carries the whole job as `data` and an `id` for `Last-Event-ID`; a comment keeps the line open every
15 seconds.

Scope: `jobs:read`."""
STREAM = """id: W/"5f1c…"-progress
event: progress
data: {"id":"job_…","status":"processing","progress":42,…}

"""
OCTETS = "application/octet-stream"
BINARY = {"type": "string", "contentMediaType": OCTETS}
SENT = "The file as it is. `Content-Type` must be that of the asset, whichever it is."
SERVED = ("video/mp4", "image/jpeg", "video/iso.segment")
PUBLIC: list[dict[str, list[str]]] = []

Operation = dict[str, Any]


def add_undescribed(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular."""
    paths = result["paths"]
    paths[JOB + "/events"] = {"get": events(paths[JOB]["get"])}
    paths["/v1/files/{token}"] = {"get": download(), "put": upload()}
    paths["/healthz"] = {"get": alive()}
    paths["/readyz"] = {"get": ready()}
    return result


def events(get_job: Operation) -> Operation:
    """Who may watch a job is decided as if the job itself were asked for."""
    problems = {status: response for status, response in get_job["responses"].items() if status >= "400"}
    parameters = [
        reference("parameters", "Last-Event-ID")
        if parameter == reference("parameters", "If-None-Match")
        else parameter
        for parameter in get_job["parameters"]
    ]
    response: dict[str, Any] = {
        "description": "The events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM}},
    }
    finished: dict[str, Any] = {"description": "`Last-Event-ID` is that of `done`: there is nothing to come."}
    add_headers("200", response, ())
    add_headers("204", finished, ())
    return {
        "operationId": "watch_job",
        "summary": "The job's changes as server-sent events, until it has ended",
        "description": EVENTS,
        "parameters": parameters,
        "tags": ["Jobs"],
        "security": SECURITY,
        "responses": {"200": response, "204": finished, **problems},
    }


def download() -> Operation:
    described = (
        "The file, or with `Range` a part of it. Only a deployment that keeps files in a folder has it."
    )
    file = {"content": {media_type: {"schema": BINARY} for media_type in SERVED}}
    return public(
        "get_file",
        "A file, by the signed address that a job gave",
        described,
        ["Files"],
        {
            "200": {"description": "The file.", **file},
            "206": {"description": "The part that was asked for.", **file},
            **problem_responses(("not_found", "expired", "not_acceptable", "internal_error")),
            "416": {"description": "No such part: `Content-Range` tells the size."},
        },
        [TOKEN, {"name": "Range", "in": "header", "schema": {"type": "string"}, "example": "bytes=0-1023"}],
    )


def upload() -> Operation:
    described = (
        "Send the file of an asset to the address that the asset's `upload` gave, with its headers, once. "
        "Only a deployment that keeps files in a folder has it; otherwise the address leads to the store."
    )
    refusals = ("not_found", "expired", "conflict", "payload_too_large", "unsupported_media_type")
    problems = problem_responses((*refusals, "validation_error", "internal_error", "service_unavailable"))
    return public(
        "put_file",
        "Upload the file of an asset",
        described,
        ["Files"],
        {"204": {"description": "It is there."}, **problems},
        [TOKEN],
    ) | {"requestBody": {"required": True, "description": SENT, "content": {OCTETS: {"schema": BINARY}}}}


TOKEN = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}


def alive() -> Operation:
    return public(
        "get_health",
        "Whether the process is alive",
        "It asks nobody else.",
        ["Health"],
        {"200": health("Yes.")},
    )


def ready() -> Operation:
    return public(
        "get_readiness",
        "Whether the deployment can do its work",
        "Database, Redis and object store, each with the time that it took to answer.",
        ["Health"],
        {"200": health("All of them answer."), "503": health("One of them doesn't.")},
    )


def health(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": reference("schemas", "Health")}},
    }


def public(
    operation_id: str,
    summary: str,
    description: str,
    tags: list[str],
    responses: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
) -> Operation:
    """An operation that needs no key."""
    for response in responses.values():
        response.setdefault("headers", {})["X-Request-Id"] = reference("headers", "X-Request-Id")
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "parameters": [*(parameters or []), reference("parameters", "X-Request-Id")],
        "tags": tags,
        "security": PUBLIC,
        "responses": responses,
    }
