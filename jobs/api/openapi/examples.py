"""What requests and answers look like: one or more examples for each body of JSON.

Those of requests succeed as they stand, since people send them from `/docs`.
"""

from base64 import b64encode
from pathlib import Path
from typing import Any

from avatar_api.common.problems import MEDIA_TYPE

Json = dict[str, Any]

TAIL = "0d3k5m7n9p1q3r5s7t9v1w3x5y"
JOB_ID = f"job_{TAIL}"
ASSET_ID = f"ast_{TAIL}"
WEBHOOK_ID = f"whk_{TAIL}"
KEY_ID = "4fX2kQ9mZ7pL"
SIGNED = "https://store.example.com/org_…?X-Amz-Expires=3600&X-Amz-Signature=…"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
CREATED = "2026-11-21T18:27:27.378Z"
STARTED = "2026-11-21T18:27:27.912Z"
FINISHED = "2026-11-21T18:28:04.120Z"
EXPIRES = "2026-11-22T00:28:04.120Z"
NEXT_DAY = "2026-11-22T18:27:27.378Z"

INPUT: Json = {
    "image": {"sha256": DIGEST, "size_bytes": 204311, "width": 1024, "height": 1024},
    "audio": {"sha256": DIGEST, "size_bytes": 301440, "duration_seconds": 9.42},
    "audio_2": None,
    "audio_channels": "mix",
    "crop": {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0},
    "speaker_boxes": [],
    "speaking_order": "together",
    "prompt": "A person is talking.",
    "negative_prompt": "",
    "resolution": "480p",
    "preset": "fast",
    "seed": 1234567,
    "webhook_url": None,
    "consent": {"subject": "speaker-12", "basis": "permission", "reference": "release 2026-041"},
}
QUEUED: Json = {
    "id": JOB_ID,
    "object": "job",
    "status": "queued",
    "stage": "waiting",
    "progress": 0,
    "window": {"current": 1, "total": 4},
    "queue_position": 1,
    "eta_seconds": 41.5,
    "livemode": True,
    "input": INPUT,
    "stream_url": None,
    "output": None,
    "error": None,
    "usage": {"gpu_seconds": 0.0, "video_seconds": 0.0, "cost_usd": "0"},
    "receipt": None,
    "retry_of": None,
    "metadata": {"order": "17"},
    "created_at": CREATED,
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
    "expired": False,
}
PROCESSING: Json = QUEUED | {
    "status": "processing",
    "stage": "sampling",
    "progress": 56,
    "window": {"current": 3, "total": 4},
    "queue_position": None,
    "eta_seconds": 16.2,
    "stream_url": "https://api.example.com/v1/streams/eyJqb2Ii…/playlist.m3u8",
    "usage": {"gpu_seconds": 18.4, "video_seconds": 0.0, "cost_usd": "0"},
    "started_at": STARTED,
}
SUCCEEDED: Json = PROCESSING | {
    "status": "succeeded",
    "stage": None,
    "progress": 100,
    "window": {"current": 4, "total": 4},
    "eta_seconds": None,
    "output": {
        "url": SIGNED,
        "content_type": "video/mp4",
        "duration_seconds": 9.44,
        "width": 640,
        "height": 640,
        "fps": 25,
        "size_bytes": 1483220,
        "sha256": DIGEST,
        "thumbnail_url": SIGNED,
    },
    "usage": {"gpu_seconds": 35.9, "video_seconds": 9.42, "cost_usd": "0.471000"},
    "receipt": {
        "engine": "infinitetalk",
        "device": "NVIDIA L40S",
        "preset": "fast",
        "resolution": "480p",
        "num_inference_steps": 4,
        "seed": 1234567,
        "attempt": 1,
        "seconds": {"starting": 0.6, "encoding": 1.9, "sampling": 30.2, "decoding": 2.4, "uploading": 0.8},
    },
    "finished_at": FINISHED,
    "expires_at": EXPIRES,
}
CANCELED: Json = PROCESSING | {
    "status": "canceled",
    "stage": None,
    "eta_seconds": None,
    "usage": {"gpu_seconds": 18.4, "video_seconds": 5.84, "cost_usd": "0.292000"},
    "finished_at": FINISHED,
    "expires_at": EXPIRES,
}
ESTIMATE: Json = {
    "object": "estimate",
    "livemode": True,
    "input": INPUT,
    "duration_seconds": 9.42,
    "windows": 4,
    "estimated_seconds": 36.0,
    "estimated_cost_usd": "0.471000",
    "queue_position": 3,
    "eta_seconds": 112.5,
    "cheaper_preset": "turbo",
    "faces": [{"x": 0.34, "y": 0.21, "width": 0.28, "height": 0.33, "speaks": True}],
    "warnings": [
        {
            "code": "not_measured",
            "detail": "No comparable job has run yet; the time is computed from a model.",
        }
    ],
}
ASSET: Json = {
    "id": ASSET_ID,
    "object": "asset",
    "livemode": True,
    "content_type": "audio/wav",
    "size_bytes": 301440,
    "filename": "speech.wav",
    "uploaded": True,
    "upload": None,
    "created_at": CREATED,
    "expires_at": NEXT_DAY,
}
ANNOUNCED: Json = ASSET | {
    "uploaded": False,
    "upload": {
        "method": "PUT",
        "url": SIGNED,
        "headers": {"Content-Type": "audio/wav", "Content-Length": "301440", "If-None-Match": "*"},
    },
}
WEBHOOK: Json = {
    "id": WEBHOOK_ID,
    "object": "webhook",
    "livemode": True,
    "url": "https://receiver.example.com/avatar",
    "event_types": ["job.succeeded", "job.failed"],
    "description": "Orders",
    "enabled": True,
    "failing_since": None,
    "disabled_at": None,
    "disabled_reason": "",
    "created_at": CREATED,
}
SIGNING_KEY = "whsec_…"
DELIVERY: Json = {
    "id": f"msg_{TAIL}",
    "object": "webhook_delivery",
    "event_type": "job.succeeded",
    "job": JOB_ID,
    "url": "https://receiver.example/avatar",
    "status": "succeeded",
    "payload": {"type": "job.succeeded", "timestamp": FINISHED, "data": {"id": JOB_ID, "object": "job"}},
    "attempts": [{"at": FINISHED, "status": 204, "seconds": 0.21, "answer": ""}],
    "next_attempt_at": None,
    "job_id": JOB_ID,
    "state": "succeeded",
    "tries": 1,
    "next_try_at": None,
    "last_status": 204,
    "last_error": "",
    "created_at": FINISHED,
    "finished_at": FINISHED,
}
PENDING: Json = DELIVERY | {
    "status": "pending",
    "attempts": [],
    "next_attempt_at": FINISHED,
    "state": "pending",
    "tries": 0,
    "next_try_at": FINISHED,
    "last_status": None,
    "finished_at": None,
}
API_KEY: Json = {
    "id": KEY_ID,
    "object": "api_key",
    "name": "Shop",
    "mode": "live",
    "scopes": ["jobs:read", "jobs:write"],
    "allowed_ips": ["203.0.113.0/24"],
    "created_at": CREATED,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": STARTED,
    "last_used_ip": "203.0.113.7",
}
MINTED: Json = API_KEY | {
    "last_used_at": None,
    "last_used_ip": None,
    "key": f"av_live_{KEY_ID}_…",
}
ME: Json = {
    "object": "me",
    "livemode": True,
    "organization": {"id": f"org_{TAIL}", "name": "Example"},
    "key": {
        "id": KEY_ID,
        "name": "Shop",
        "mode": "live",
        "scopes": ["jobs:read", "jobs:write"],
        "expires_at": None,
    },
    "plan": {
        "code": "pro",
        "name": "Pro",
        "limits": {
            "create_per_minute": 60,
            "read_per_minute": 600,
            "concurrent_jobs": 4,
            "queued_jobs": 100,
            "video_seconds_per_month": 36000,
            "max_speech_seconds": 600,
            "max_upload_bytes": 104857600,
            "resolutions": ["480p", "720p"],
            "presets": ["balanced", "fast", "instant", "quality", "turbo"],
            "retention_seconds": 21600,
            "price_per_video_second_usd": "0.050000",
            "active_keys": 100,
            "open_assets": 200,
            "open_asset_bytes": 10000000000,
            "open_streams": 200,
            "open_uploads": 64,
            "consent_required": False,
        },
        "left": {
            "concurrent_jobs": 3,
            "queued_jobs": 99,
            "video_seconds_this_month": 35990.58,
            "active_keys": 98,
            "open_assets": 200,
            "open_asset_bytes": 10000000000,
        },
    },
}
MEMBER: Json = {
    "id": f"mem_{TAIL}",
    "object": "member",
    "email": "alice@example.com",
    "name": "Alice",
    "role": "owner",
    "created_at": CREATED,
}
INVITATION: Json = {
    "id": f"inv_{TAIL}",
    "object": "invitation",
    "email": "bob@example.com",
    "role": "member",
    "invited_by": "alice@example.com",
    "created_at": CREATED,
    "sent_at": CREATED,
    "expires_at": "2026-11-28T18:27:27.378Z",
}
USAGE_ROW: Json = {
    "day": "2026-11-21",
    "key_id": None,
    "jobs": 1,
    "video_seconds": 9.42,
    "gpu_seconds": 35.9,
    "cost_usd": "0.471000",
}
USAGE: Json = {
    "object": "usage",
    "start": "2026-11-01",
    "end": "2026-11-21",
    "group_by": "day",
    "data": [USAGE_ROW],
    "total": USAGE_ROW | {"day": None},
}

FILES = Path(__file__).parent / "files"


def inline(name: str, media_type: str) -> str:
    """A small file as a `data:` URI."""
    return f"data:{media_type};base64,{b64encode((FILES / name).read_bytes()).decode()}"


PORTRAIT_AND_SPEECH: Json = {
    "image_url": inline("portrait.webp", "image/webp"),
    "audio_url": inline("speech.ogg", "audio/ogg"),
}
REQUESTS: dict[str, Json] = {
    "create_job": {**PORTRAIT_AND_SPEECH, "resolution": "480p", "metadata": {"order": "17"}},
    "create_estimate": PORTRAIT_AND_SPEECH,
    "create_asset": {"content_type": "audio/wav", "size_bytes": 301440, "filename": "speech.wav"},
    "update_job": {"metadata": {"order": "18"}},
    "create_webhook": {"url": WEBHOOK["url"], "event_types": WEBHOOK["event_types"]},
    "update_webhook": {"enabled": False},
    "rotate_webhook_secret": {"overlap_seconds": 86400},
    "create_api_key": {"name": "Shop", "scopes": API_KEY["scopes"], "allowed_ips": API_KEY["allowed_ips"]},
    "rotate_api_key": {"overlap_seconds": 3600},
    "update_member": {"role": "admin"},
    "create_invitation": {"email": "bob@example.com", "role": "member"},
}
"""Bodies of requests in JSON, by operation."""


def page(*rows: Json) -> Json:
    return {"data": list(rows), "next_cursor": None}


VOICE = {
    "object": "voice",
    "id": "espeak-en-us-female",
    "language": "en-US",
    "gender": "female",
    "engine": "espeak",
    "sample_url": "https://api.example.com/static/jobs/voices/espeak-en-us-female.mp3",
}

ANSWERS: dict[tuple[str, str], dict[str, Json]] = {
    ("create_job", "202"): {"queued": QUEUED},
    ("create_job", "200"): {"ended": SUCCEEDED, "estimate": ESTIMATE},
    ("list_jobs", "200"): {"page": page(SUCCEEDED)},
    ("get_job", "200"): {"queued": QUEUED, "processing": PROCESSING, "succeeded": SUCCEEDED},
    ("cancel_job", "202"): {"stopping": PROCESSING},
    ("cancel_job", "200"): {"canceled": CANCELED},
    ("retry_job", "202"): {"queued": QUEUED | {"retry_of": f"job_{TAIL[::-1]}"}},
    ("create_estimate", "200"): {"estimate": ESTIMATE},
    ("create_asset", "201"): {"announced": ANNOUNCED},
    ("list_voices", "200"): {"voices": {"data": [VOICE]}},
    ("list_assets", "200"): {"page": page(ASSET)},
    ("update_job", "200"): {"changed": QUEUED},
    ("get_asset", "200"): {"uploaded": ASSET},
    ("list_webhooks", "200"): {"page": page(WEBHOOK)},
    ("create_webhook", "201"): {"webhook": WEBHOOK | {"secret": SIGNING_KEY}},
    ("get_webhook", "200"): {"webhook": WEBHOOK},
    ("update_webhook", "200"): {
        "disabled": WEBHOOK | {"enabled": False, "disabled_at": FINISHED, "disabled_reason": "By request."}
    },
    ("rotate_webhook_secret", "200"): {"webhook": WEBHOOK | {"secret": SIGNING_KEY}},
    ("test_webhook", "202"): {
        "message": PENDING | {"event_type": "webhook.test", "job": None, "job_id": None}
    },
    ("list_webhook_deliveries", "200"): {"page": page(DELIVERY)},
    ("redeliver_webhook_delivery", "202"): {"message": PENDING},
    ("list_job_deliveries", "200"): {"page": page(DELIVERY)},
    ("redeliver_job_delivery", "202"): {"message": PENDING},
    ("get_webhook_secret", "200"): {
        "secret": {"object": "webhook_secret", "livemode": True, "secret": SIGNING_KEY}
    },
    ("list_api_keys", "200"): {"page": page(API_KEY)},
    ("create_api_key", "201"): {"minted": MINTED},
    ("rotate_api_key", "201"): {"minted": MINTED},
    ("list_members", "200"): {"members": {"data": [MEMBER]}},
    ("update_member", "200"): {"member": MEMBER | {"role": "admin"}},
    ("remove_member", "200"): {"removed": {"id": MEMBER["id"], "object": "member", "api_keys": [API_KEY]}},
    ("list_invitations", "200"): {"page": page(INVITATION)},
    ("create_invitation", "201"): {"invitation": INVITATION},
    ("resend_invitation", "200"): {"invitation": INVITATION},
    ("get_me", "200"): {"me": ME},
    ("get_usage", "200"): {"by_day": USAGE},
    ("get_health", "200"): {"alive": {"status": "ok"}},
    ("get_readiness", "200"): {
        "ready": {"status": "ok", "checks": {"database": {"ok": True, "latency_ms": 0.9}}}
    },
    ("get_readiness", "503"): {
        "down": {"status": "down", "checks": {"redis": {"ok": False, "latency_ms": 2001.3}}}
    },
}
"""Answers in JSON by operation and status, each with its examples by name."""


def add_examples(result: Json, **_: Any) -> Json:
    """A hook of drf-spectacular."""
    for operation in (operation for methods in result["paths"].values() for operation in methods.values()):
        name = operation["operationId"]
        if name in REQUESTS:
            operation["requestBody"]["content"]["application/json"]["example"] = REQUESTS[name]
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if content is not None and MEDIA_TYPE not in response["content"]:
                examples = ANSWERS.get((name, status), {})
                content["examples"] = {key: {"value": value} for key, value in examples.items()}
    return result
