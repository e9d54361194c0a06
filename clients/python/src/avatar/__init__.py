"""Avatar API: a portrait and speech become a talking video.

    from avatar import Avatar

    video = Avatar().videos.create(image="me.jpg", audio="me.mp3").wait()
    video.download("me.mp4")

`Avatar` blocks, `AsyncAvatar` is its twin for asyncio. AVATAR_API_KEY and AVATAR_API_URL are read from the
environment where no arguments take their place.
"""

from typing import TYPE_CHECKING, Any

from avatar.errors import (
    ApiError,
    AuthenticationError,
    AvatarError,
    ConnectionFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RequestInvalidError,
    ServerError,
    VideoFailedError,
    WaitTimeoutError,
)
from avatar.models import Estimate, Failure, FieldError, Output
from avatar.synchronous import Avatar, Video
from avatar.webhooks import WebhookError, verify_webhook

if TYPE_CHECKING:
    from avatar.asynchronous import AsyncAvatar, AsyncVideo

__all__ = [
    "ApiError",
    "AsyncAvatar",
    "AsyncVideo",
    "AuthenticationError",
    "Avatar",
    "AvatarError",
    "ConnectionFailedError",
    "Estimate",
    "Failure",
    "FieldError",
    "NotFoundError",
    "Output",
    "PermissionDeniedError",
    "RateLimitError",
    "RequestInvalidError",
    "ServerError",
    "Video",
    "VideoFailedError",
    "WaitTimeoutError",
    "WebhookError",
    "verify_webhook",
]


def __getattr__(name: str) -> Any:
    """The twins for asyncio, which is loaded when they are first used: it takes as long as all the rest."""
    if name not in ("AsyncAvatar", "AsyncVideo"):
        raise AttributeError(f"module 'avatar' has no attribute {name!r}")
    from avatar import asynchronous

    return getattr(asynchronous, name)
