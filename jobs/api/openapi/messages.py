"""The messages that we send: the `webhooks` part of the OpenAPI document."""

from typing import Any

from avatar_api.common.openapi_problems import reference
from jobs.api.openapi.examples import CANCELED, FINISHED, PROCESSING, SUCCEEDED
from jobs.models import WebhookEventType

MEANINGS = {
    WebhookEventType.PROCESSING: ("The job's first attempt has started", PROCESSING | {"stream_url": None}),
    WebhookEventType.SUCCEEDED: ("The video is there", SUCCEEDED),
    WebhookEventType.FAILED: (
        "The job has failed, and `data.error` says why",
        CANCELED
        | {
            "status": "failed",
            "error": {"code": "audio_silent", "detail": "The speech is silent.", "retryable": False},
        },
    ),
    WebhookEventType.CANCELED: ("The job was canceled", CANCELED),
}
DESCRIPTION = """Signed as [Standard Webhooks](https://www.standardwebhooks.com) describe: verify it with the
secret of your webhook before you believe it. A message may come more than once: `webhook-id` stays the same.
Any status from 200 to 299 within 15 seconds takes it; 410 disables the webhook; everything else is tried
again after 5 s, 1 min, 5 min, 30 min, 2 h and 5 h."""
HEADERS = {
    "webhook-id": "Of the message, the same at each try.",
    "webhook-timestamp": "Of this try, in seconds since 1970.",
    "webhook-signature": "`v1,<base64>`; two of them, apart by a space, while a secret is rotated.",
}


def add_messages(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular."""
    result["webhooks"] = {str(event): {"post": message(event)} for event in WebhookEventType}
    return result


def message(event: WebhookEventType) -> dict[str, Any]:
    meaning, job = MEANINGS[event]
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"type": "string", "const": str(event)},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": reference("schemas", "Job"),
        },
    }
    example = {"type": str(event), "timestamp": FINISHED, "data": job}
    return {
        "operationId": "receive_" + str(event).replace(".", "_"),
        "summary": meaning,
        "description": DESCRIPTION,
        "tags": ["Webhooks"],
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": description,
                "schema": {"type": "string"},
            }
            for name, description in HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body, "example": example}},
        },
        "responses": {"2XX": {"description": "The message was accepted."}},
    }


def header(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "required": True, "description": description, "schema": schema}
