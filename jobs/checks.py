"""What a deployment is refused for before it starts."""

import re
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register
def outbound_requests_stay_public(**kwargs: Any) -> list[CheckMessage]:
    """With this setting anybody who may name an address could ask our own network."""
    if not (settings.PRODUCTION and settings.OUTBOUND_ALLOW_PRIVATE):
        return []
    return [
        Error("OUTBOUND_ALLOW_PRIVATE is for development alone.", hint="Remove it.", id="jobs.E001"),
    ]


@register
def waking_is_configured_whole(**kwargs: Any) -> list[CheckMessage]:
    """Half a configuration would let jobs wait for a GPU without anybody noticing."""
    if not settings.RUNPOD_ENDPOINT_ID:
        return []
    found: list[CheckMessage] = []
    if not re.fullmatch(r"[A-Za-z0-9-]+", settings.RUNPOD_ENDPOINT_ID):
        hint = "It is the last part of https://api.runpod.ai/v2/<id>, not an address."
        found.append(Error("RUNPOD_ENDPOINT_ID is no id of an endpoint.", hint=hint, id="jobs.E002"))
    if not re.fullmatch(r"[!-~]+", settings.RUNPOD_API_KEY):
        hint = "Make a key that may use this endpoint and nothing else."
        found.append(Error("RUNPOD_ENDPOINT_ID needs RUNPOD_API_KEY beside it.", hint=hint, id="jobs.E003"))
    if settings.RUNPOD_MAX_WORKERS < 1:
        hint = "Unset RUNPOD_ENDPOINT_ID to wake nobody."
        found.append(Error("RUNPOD_MAX_WORKERS is below 1.", hint=hint, id="jobs.E004"))
    if settings.PRODUCTION and urlsplit(settings.RUNPOD_BASE_URL).scheme != "https":
        hint = "The key would be read on its way."
        found.append(Error("RUNPOD_BASE_URL isn't encrypted.", hint=hint, id="jobs.E005"))
    return found
