"""Messages of webhooks, checked as https://www.standardwebhooks.com says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from avatar.errors import AvatarError

TOLERANCE_SECONDS = 300


class WebhookError(AvatarError):
    """A message is not ours, was changed, or is too old."""


def verify_webhook(body: bytes | str, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The event in a webhook's body.

    Args:
        body: As it came, not parsed.
        headers: Of the request, in any case.
        secret: The endpoint's, which begins with `whsec_`.

    Raises:
        WebhookError: It isn't signed with this secret, or was sent more than five minutes ago.
    """
    content = body.encode() if isinstance(body, str) else body
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, moment = given["webhook-id"], int(given["webhook-timestamp"])
        signatures = given["webhook-signature"].split(" ")
    except (KeyError, ValueError) as error:
        raise WebhookError("The headers of a webhook are missing or malformed.") from error
    if abs(time.time() - moment) > TOLERANCE_SECONDS:
        raise WebhookError("The message is too old, or a clock is wrong.")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{moment}.".encode() + content, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(digest).decode()
    if not any(hmac.compare_digest(expected.encode(), signature.encode()) for signature in signatures):
        raise WebhookError("The message is not signed with this secret.")
    event: dict[str, Any] = json.loads(content)
    return event
