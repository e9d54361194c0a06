"""The one table of error codes: those of answers, and those of jobs that failed and of files in requests.

Whatever is said or decided by a code is derived from here: HTTP statuses, the documentation, which failures
test mode simulates, and whether a client should try again.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorCode:
    """A stable error code.

    Attributes:
        status: HTTP status of the answers that have it; 0 for a code that only jobs and files have.
        title: What went wrong, the same for every occurrence.
        of_job: Whether a failed job, or a file in a request, may have it.
        retryable: Whether the same request can succeed later.
    """

    status: int
    title: str
    of_job: bool = False
    retryable: bool = False


ERROR_CODES: dict[str, ErrorCode] = {
    "parse_error": ErrorCode(400, "The request body can't be parsed."),
    "authentication_required": ErrorCode(401, "An API key is required."),
    "invalid_api_key": ErrorCode(401, "The API key is not valid."),
    "api_key_expired": ErrorCode(401, "The API key has expired."),
    "api_key_revoked": ErrorCode(401, "The API key has been revoked."),
    "permission_denied": ErrorCode(403, "The required scope or role is missing."),
    "not_in_plan": ErrorCode(403, "The plan does not include this."),
    "ip_not_allowed": ErrorCode(403, "The API key may not be used from this IP address."),
    "organization_suspended": ErrorCode(403, "The organization is suspended."),
    "not_found": ErrorCode(404, "The resource was not found."),
    "method_not_allowed": ErrorCode(405, "The method is not allowed for this resource."),
    "not_acceptable": ErrorCode(406, "None of the accepted media types is available."),
    "request_timeout": ErrorCode(408, "The request arrived too slowly.", retryable=True),
    "conflict": ErrorCode(409, "The resource's state does not allow this operation."),
    "idempotency_key_in_use": ErrorCode(
        409, "A request with this idempotency key is in progress.", retryable=True
    ),
    "expired": ErrorCode(410, "The files are gone."),
    "payload_too_large": ErrorCode(413, "The request body is too large."),
    "unsupported_media_type": ErrorCode(415, "The media type is not supported."),
    "validation_error": ErrorCode(422, "The request is not valid."),
    "idempotency_key_reused": ErrorCode(
        422, "The idempotency key was already used with a different request."
    ),
    "rate_limited": ErrorCode(429, "Too many requests.", retryable=True),
    "concurrency_limited": ErrorCode(429, "Too many concurrent jobs.", retryable=True),
    "quota_exceeded": ErrorCode(429, "The monthly quota is used up.", retryable=True),
    "queue_full": ErrorCode(429, "Too many jobs are queued.", retryable=True),
    "internal_error": ErrorCode(500, "An internal error occurred.", of_job=True, retryable=True),
    "service_unavailable": ErrorCode(503, "The service is temporarily unavailable.", retryable=True),
    "audio_too_short": ErrorCode(0, "The speech is shorter than 0.3 seconds.", of_job=True),
    "audio_too_long": ErrorCode(0, "The speech is longer than the plan allows.", of_job=True),
    "audio_unreadable": ErrorCode(0, "The speech can't be decoded, or contains no audio.", of_job=True),
    "audio_silent": ErrorCode(0, "The speech is silent.", of_job=True),
    "image_unreadable": ErrorCode(0, "The image can't be decoded.", of_job=True),
    "image_too_large": ErrorCode(0, "The image has too many pixels.", of_job=True),
    "image_too_small": ErrorCode(0, "The image has too few pixels.", of_job=True),
    "video_unreadable": ErrorCode(0, "The video can't be decoded, or contains no video track.", of_job=True),
    "face_not_found": ErrorCode(0, "No face was found in the image or video.", of_job=True),
    "content_rejected": ErrorCode(0, "The operator does not accept this content.", of_job=True),
    "download_failed": ErrorCode(
        0, "A file could not be downloaded from its URL in time.", of_job=True, retryable=True
    ),
    "download_forbidden": ErrorCode(
        0,
        "The URL resolves to a private address, which is not allowed, or its server denied access.",
        of_job=True,
    ),
    "speech_failed": ErrorCode(0, "The speech could not be made from the text.", of_job=True, retryable=True),
    "out_of_memory": ErrorCode(0, "The render worker ran out of memory.", of_job=True, retryable=True),
    "timed_out": ErrorCode(0, "The render exceeded its time limit.", of_job=True, retryable=True),
    "worker_lost": ErrorCode(0, "The render worker was lost repeatedly.", of_job=True, retryable=True),
    "model_unavailable": ErrorCode(0, "The model is temporarily unavailable.", of_job=True, retryable=True),
    "storage_failed": ErrorCode(0, "The object store was unavailable.", of_job=True, retryable=True),
}

JOB_ERROR_CODES: dict[str, ErrorCode] = {code: entry for code, entry in ERROR_CODES.items() if entry.of_job}
