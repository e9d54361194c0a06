"""What the OpenAPI document can't learn from a view: the events of a job, which are served before Django."""

from typing import Any

from avatar_api.common.openapi import SECURITY, add_headers, reference

JOB = "/v1/jobs/{job_id}"
DESCRIPTION = """The job's changes as server-sent events, until it has ended.

`status` when its status changed, `progress` for everything else, `done` at the end. Each carries the whole
job as `data` and an `id` for `Last-Event-ID`; a comment keeps the line open every 15 seconds.

Scope: `jobs:read`."""
STREAM = """id: W/"5f1c…"
event: progress
data: {"id":"job_…","status":"processing","progress":42,…}

"""

ASSET_ID = "ast_0d3k5m7n9p1q3r5s7t9v1w3x5y"
EXAMPLES: dict[str, dict[str, Any]] = {
    "create_job": {
        "image_url": "https://files.example.com/portrait.png",
        "audio_url": "https://files.example.com/speech.wav",
        "resolution": "480p",
        "metadata": {"order": "17"},
    },
    "create_estimate": {"image_asset": ASSET_ID, "audio_asset": ASSET_ID, "preset": "balanced"},
    "create_asset": {"content_type": "audio/wav", "size_bytes": 415658, "filename": "speech.wav"},
    "create_webhook": {"url": "https://receiver.example.com/avatar", "event_types": ["job.succeeded"]},
}
"""Bodies of requests in JSON, by operation."""


def add_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular."""
    for methods in result["paths"].values():
        for told in methods.values():
            if told["operationId"] in EXAMPLES:
                told["requestBody"]["content"]["application/json"]["example"] = EXAMPLES[told["operationId"]]
    return result


def add_events(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular. Who may watch a job is decided as if the job itself were asked for."""
    get_job = result["paths"][JOB]["get"]
    problems = {status: told for status, told in get_job["responses"].items() if status >= "400"}
    path_parameters = [told for told in get_job["parameters"] if told.get("in") == "path"]
    response: dict[str, Any] = {
        "description": "The events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": STREAM}},
    }
    add_headers("200", response, ())
    result["paths"][JOB + "/events"] = {
        "get": {
            "operationId": "watch_job",
            "summary": "The job's changes as server-sent events, until it has ended",
            "description": DESCRIPTION,
            "parameters": [
                *path_parameters,
                reference("parameters", "Last-Event-ID"),
                reference("parameters", "X-Request-Id"),
            ],
            "tags": ["Jobs"],
            "security": SECURITY,
            "responses": {"200": response, **problems},
        }
    }
    return result
