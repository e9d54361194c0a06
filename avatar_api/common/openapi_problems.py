"""How problems appear in the OpenAPI document: a response for each status, and an example for each code."""

from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from avatar_api.common.problems import CODES, DOCUMENTATION, MEDIA_TYPE

Document = dict[str, Any]


def reference(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}


def problem_responses(codes: Iterable[str]) -> dict[str, Document]:
    """A response for each status, which names and shows the codes that it may have."""
    by_status: dict[str, list[str]] = defaultdict(list)
    for code in CODES:
        if code in set(codes):
            by_status[str(CODES[code].status)].append(code)
    return {status: problem_response(status, names) for status, names in by_status.items()}


# Python before 3.13 has older names for these; the document shall be the same from each.
PHRASES = {"413": "Content Too Large", "422": "Unprocessable Content"}


def phrase(status: str) -> str:
    """The name of a status, as RFC 9110 has it."""
    return PHRASES.get(status) or HTTPStatus(int(status)).phrase


def problem_response(status: str, codes: list[str]) -> Document:
    named = ", ".join(f"`{code}`" for code in codes)
    content = {
        "schema": reference("schemas", "Problem"),
        "examples": {code: reference("examples", code) for code in codes},
    }
    return {"description": f"{phrase(status)}: {named}.", "content": {MEDIA_TYPE: content}}


def codes_of(response: Document) -> list[str]:
    return list(response["content"][MEDIA_TYPE]["examples"])


def problem_example(code: str) -> Document:
    known = CODES[code]
    value: Document = {
        "type": f"{DOCUMENTATION}#{code}",
        "title": known.title,
        "status": known.status,
        "detail": known.title,
        "instance": "0b1f3a5c7d9e4f60a1b2c3d4e5f60718",
        "code": code,
        "retryable": known.retryable,
    }
    if code == "validation_error":
        fault = {
            "field": "audio",
            "code": "audio_too_long",
            "detail": "The speech may last at most 60 seconds.",
        }
        value |= {"detail": f"audio: {fault['detail']}", "errors": [fault]}
    return {"summary": known.title, "value": value}
