"""Secrets and signatures as Standard Webhooks has them (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105
SECRET_BYTES = 32


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(message_id: str, moment: datetime, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """The headers of one sending of a message.

    Args:
        message_id: The same for each sending of the message.
        moment: When it is sent.
        body: The very bytes that are sent.
        keys: The secrets to sign with; two while one takes the other's place.
    """
    timestamp = str(int(moment.timestamp()))
    signatures = (_signature(f"{message_id}.{timestamp}.".encode() + body, key) for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _signature(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
