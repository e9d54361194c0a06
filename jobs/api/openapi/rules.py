"""Which fields of a job exclude each other and which belong together, as JSON Schema says it."""

from collections.abc import Container, Iterable
from typing import Any

from jobs.intake.requests import AUDIO_2_FIELDS, AUDIO_FIELDS, REFERENCE_FIELDS

REQUESTS = ("JobRequestRequest", "JobFormRequest")
SCRIPT = {"required": ["script"]}
SPLIT = {"required": ["audio_channels"], "properties": {"audio_channels": {"const": "split"}}}


def add_rules(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: what `jobs.intake.requests.conflicts` looks for."""
    for name in REQUESTS:
        schema = result["components"]["schemas"][name]
        known = schema["properties"]
        second = [field for field in AUDIO_2_FIELDS if field in known]
        schema["allOf"] = [one_of(REFERENCE_FIELDS, known), one_of(AUDIO_FIELDS, known)]
        two_speakers = {"anyOf": [one_of(AUDIO_2_FIELDS, known), SPLIT]}
        schema["dependentSchemas"] = {
            # One file of its own, or a channel of the first: that these exclude each other is said in words,
            # because generators fail on files below `not` and `if`; so is that two speakers have two boxes.
            **{field: {"properties": {"audio_channels": {"const": "mix"}}} for field in second},
            "speaking_order": two_speakers,
            "speaker_boxes": {
                "anyOf": [
                    {"allOf": [{"anyOf": [two_speakers, SCRIPT]}, boxes("minItems", 2)]},
                    boxes("maxItems", 1),
                ]
            },
            "voice": {"anyOf": [{"required": ["text"]}, SCRIPT]},
            "voice_2": {"anyOf": [{"required": ["text_2"]}, SCRIPT]},
        }
    return result


def boxes(keyword: str, number: int) -> dict[str, Any]:
    return {"properties": {"speaker_boxes": {keyword: number}}}


def one_of(fields: Iterable[str], known: Container[str]) -> dict[str, Any]:
    return {"oneOf": [{"required": [field]} for field in fields if field in known]}
