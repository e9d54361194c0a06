"""Where the API is and with which key, and what both drivers make of a `Send`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from avatar.errors import AvatarError
from avatar.inputs import Media
from avatar.protocol import Send

CHUNK_BYTES = 1 << 20
VERSION = "0.1.0"


@dataclass(frozen=True)
class Settings:
    """Where requests go.

    Attributes:
        url: Of the deployment, without /v1.
        timeout: Seconds that the server may be silent.
    """

    api_key: str
    url: str
    timeout: float

    @classmethod
    def of(cls, api_key: str | None, url: str | None, timeout: float) -> Settings:
        """Arguments, or else the environment.

        Raises:
            AvatarError: Neither has a key or an address.
        """
        key = api_key or os.environ.get("AVATAR_API_KEY", "")
        address = url or os.environ.get("AVATAR_API_URL", "")
        if not key:
            raise AvatarError("There is no API key: pass api_key=… or set AVATAR_API_KEY.")
        if not address:
            raise AvatarError("There is no address: pass url=… or set AVATAR_API_URL.")
        return cls(key, address.rstrip("/").removesuffix("/v1"), timeout)

    def address(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.url}/v1{path}"

    def headers(self, path: str) -> dict[str, str]:
        """The key goes to the API alone, and never to a store that a signed address leads to."""
        agent = {"User-Agent": f"avatar-api-client/{VERSION}"}
        return agent if path.startswith("http") else {**agent, "Authorization": f"Bearer {self.api_key}"}


def arguments(settings: Settings, send: Send) -> dict[str, Any]:
    """What httpx takes for a request, but for a body that is streamed."""
    return {
        "method": send.method,
        "url": settings.address(send.path),
        "headers": {**settings.headers(send.path), **send.headers},
        "json": send.json,
        "data": send.fields or None,
        "files": send.files or None,
    }


def pieces(stored: Media) -> Iterator[bytes]:
    """A file in pieces, so that no large one is ever in memory."""
    if isinstance(stored.content, bytes):
        yield stored.content
        return
    with stored.content.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def described(error: httpx.HTTPError) -> str:
    return f"The server can't be reached, or the connection broke ({type(error).__name__})."
