"""What can go wrong, as exceptions: by what a caller can do about it, with the code of the problem."""

from __future__ import annotations

from typing import Any

from avatar.models import FieldError


class AvatarError(Exception):
    """Anything that this package raises."""


class ConnectionFailedError(AvatarError):
    """The server can't be reached, or the connection broke, also after all retries."""


class WaitTimeoutError(AvatarError):
    """The video hasn't ended within the time that was given; it goes on being made."""


class VideoFailedError(AvatarError):
    """A video ended without a result.

    Attributes:
        code: Of the job's error, such as `face_not_found`; `canceled` where it was canceled.
        retryable: Whether the same request may succeed.
    """

    def __init__(self, code: str, detail: str, retryable: bool) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.retryable = code, detail, retryable


class ApiError(AvatarError):
    """The server refused a request.

    Attributes:
        status: Of HTTP.
        code: For programs; its meaning never changes.
        detail: For people.
        errors: What is wrong with which field.
        request_id: Names this answer in the server's logs.
        retryable: Whether the same request can succeed later.
        retry_after: Seconds after which it is worth a try; None where the server doesn't say.
    """

    def __init__(
        self, status: int, problem: dict[str, Any], request_id: str, retry_after: float | None
    ) -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.errors = [
            FieldError(str(error["field"]), str(error["code"]), str(error["detail"]))
            for error in problem.get("errors", [])
        ]
        self.request_id = request_id
        self.retryable = bool(problem.get("retryable", status >= 500))
        self.retry_after = retry_after
        super().__init__(f"{self.detail} ({self.code}, request {request_id})")


class AuthenticationError(ApiError):
    """The key is missing, unknown, revoked or expired."""


class PermissionDeniedError(ApiError):
    """The key or plan doesn't allow it."""


class NotFoundError(ApiError):
    """There is no such thing, or its files are gone."""


class RequestInvalidError(ApiError):
    """The request can't be done as it stands; `errors` names the fields."""


class RateLimitError(ApiError):
    """Too many requests, jobs or seconds for the plan."""


class ServerError(ApiError):
    """The server failed, or is busy or away."""


_CLASSES: dict[int, type[ApiError]] = {
    400: RequestInvalidError,
    401: AuthenticationError,
    402: PermissionDeniedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: RequestInvalidError,
    410: NotFoundError,
    413: RequestInvalidError,
    415: RequestInvalidError,
    422: RequestInvalidError,
    429: RateLimitError,
}


def api_error(status: int, problem: dict[str, Any], request_id: str, retry_after: float | None) -> ApiError:
    kind = _CLASSES.get(status, ServerError if status >= 500 else ApiError)
    return kind(status, problem, request_id, retry_after)
