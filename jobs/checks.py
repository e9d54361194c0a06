"""What a deployment is refused for before it starts."""

from typing import Any

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
