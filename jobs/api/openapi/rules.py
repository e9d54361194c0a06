"""Which fields of a job exclude each other and which belong together, as JSON Schema says it."""

from collections.abc import Container, Iterable
from typing import Any

from jobs.intake.requests import AUDIO_2_FIELDS, AUDIO_FIELDS, REFERENCE_FIELDS

REQUESTS = ("JobRequestRequest", "JobFormRequest")
SPLIT = {"required": ["audio_channels"], "properties": {"audio_channels": {"const": "split"}}}


def add_rules(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: what `JobRequestSerializer.validate` asks for."""
    for name in REQUESTS:
        schema = result["components"]["schemas"][name]
        known = schema["properties"]
        second = [field for field in AUDIO_2_FIELDS if field in known]
        schema["allOf"] = [one_of(REFERENCE_FIELDS, known), one_of(AUDIO_FIELDS, known)]
        schema["dependentRequired"] = {field: ["speaking_order"] for field in second}
        schema["dependentSchemas"] = {
            **{field: {"properties": {"audio_channels": {"const": "mix"}}} for field in second},
            "speaking_order": {"anyOf": [one_of(AUDIO_2_FIELDS, known), SPLIT]},
            "speaker_boxes": {
                "anyOf": [
                    {"required": ["speaking_order"]},
                    SPLIT,
                    {"properties": {"speaker_boxes": {"maxItems": 1}}},
                ]
            },
        }
    return result


def one_of(fields: Iterable[str], known: Container[str]) -> dict[str, Any]:
    return {"oneOf": [{"required": [field]} for field in fields if field in known]}
