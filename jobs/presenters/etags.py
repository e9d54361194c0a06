"""The tag of a job's representation, which neither its signed addresses nor the time left change."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SIGNED = ("url", "thumbnail_url")


def of_job(shown: Mapping[str, Any]) -> str:
    """A weak tag: equal tags show the same job, byte for byte but for signatures and `eta_seconds`."""
    output = shown["output"] and {name: v for name, v in shown["output"].items() if name not in SIGNED}
    stable = {**shown, "output": output, "stream_url": bool(shown["stream_url"]), "eta_seconds": None}
    digest = hashlib.sha256(json.dumps(stable, sort_keys=True, default=str).encode()).hexdigest()
    return f'W/"{digest[:32]}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this representation already (RFC 9110, section 13.1.2)."""
    if if_none_match is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known
