"""A job as a client sees it, in JSON's own types: every read makes some, so no serializer copies them."""

from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.utils import timezone

from avatar_api.common.times import write_time
from gpu_worker.contract import coordination, storage_keys
from gpu_worker.contract.error_codes import ERROR_CODES
from jobs.intake.sources import without_secrets
from jobs.intake.speech.fields import TEXT_FIELDS
from jobs.models import Job
from jobs.presenters import hls, signed_urls
from jobs.presenters.signed_urls import Download
from jobs.scheduling import eta
from jobs.scheduling.eta import LiveStatus
from jobs.states import Stage, Status

# What a finished job offers: the key below its prefix, the media type, the file name's ending.
VARIANTS = {
    "video": (storage_keys.output_video, "video/mp4", "mp4"),
    "thumbnail": (storage_keys.thumbnail, "image/jpeg", "jpg"),
}


# The recordings of a job, by speaker.
SPEECH_VARIANTS = {"audio": 0, "audio_2": 1}


class WindowCount(TypedDict):
    current: int
    total: int


class Output(TypedDict):
    url: str
    content_type: str
    duration_seconds: float
    width: int
    height: int
    fps: int
    size_bytes: int
    sha256: str
    thumbnail_url: str


class JobError(TypedDict):
    code: str
    detail: str
    retryable: bool


class Usage(TypedDict):
    gpu_seconds: float
    video_seconds: float
    cost_usd: str


class JobResource(TypedDict):
    """The fields of `JobSerializer`, which describes them."""

    id: str
    object: str
    status: str
    stage: str | None
    progress: int
    window: WindowCount
    queue_position: int | None
    eta_seconds: float | None
    livemode: bool
    input: dict[str, Any]
    stream_url: str | None
    output: Output | None
    error: JobError | None
    usage: Usage
    receipt: dict[str, Any] | None
    retry_of: str | None
    metadata: dict[str, str]
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    expired: bool


def present_all(jobs: list[Job], base_url: str) -> list[JobResource]:
    """Jobs of one tenant, with what is to be expected of them; without live progress when Redis is away."""
    live_statuses = eta.live_status_of(jobs)
    return [describe(job, live_statuses.get(job.id, LiveStatus()), base_url) for job in jobs]


def present(job: Job, base_url: str) -> JobResource:
    return present_all([job], base_url)[0]


def describe(job: Job, live: LiveStatus, base_url: str) -> JobResource:
    """The job, from its row and from what `live` adds to it."""
    progress = live.progress
    return {
        "id": job.id,
        "object": "job",
        "status": job.status,
        "stage": _stage(job, progress),
        "progress": _progress(job, progress),
        "window": {"current": min(len(job.window_prefixes) + 1, job.windows), "total": job.windows},
        "queue_position": live.queue_position,
        "eta_seconds": live.eta_seconds,
        "livemode": job.livemode,
        "input": input_of(job),
        "stream_url": hls.address(job, base_url),
        "output": _output(job, base_url),
        "error": _error(job),
        "usage": {
            "gpu_seconds": round(job.gpu_seconds + job.attempt_gpu_seconds, 3),
            "video_seconds": float(job.charged_seconds),
            "cost_usd": str(job.cost_usd),
        },
        "receipt": job.receipt,
        "retry_of": job.retry_of_id,
        "metadata": job.metadata,
        "created_at": write_time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
        "expires_at": _time(job.expires_at),
        "expired": job.is_expired,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else write_time(moment)


def _stage(job: Job, progress: coordination.Progress | None) -> str | None:
    if job.status == Status.QUEUED:
        return _stage_before_dispatch(job).value
    if job.status == Status.PROCESSING:
        return progress.stage if progress else Stage.STARTING.value
    return None


def _stage_before_dispatch(job: Job) -> Stage:
    if job.urls is None:
        return Stage.WAITING
    is_fetched = any(field not in TEXT_FIELDS for field in job.urls)
    return Stage.FETCHING if is_fetched else Stage.SPEAKING


def _progress(job: Job, progress: coordination.Progress | None) -> int:
    """Percent of the work; 100 only for a video that is there."""
    if job.status == Status.SUCCEEDED:
        return 100
    done = len(job.window_prefixes) / max(1, job.windows)
    return min(99, int(100 * max(done, progress.fraction if progress else 0)))


def input_of(job: Job) -> dict[str, Any]:
    """What was asked for, with what the intake found out; where the files lie stays inside."""
    speech = [item["facts"] for item in job.inputs["speech"]]
    crop = job.shown_crop
    return {
        job.reference_kind: job.inputs["reference"]["facts"],
        "audio": speech[0],
        "audio_2": speech[1] if len(speech) == 2 else None,
        "audio_channels": job.audio_channels,
        "crop": None if crop is None else {**vars(crop)},
        **job.plain_parameters(),
        "webhook_url": without_secrets(job.webhook_url) if job.webhook_url else None,
        "consent": job.consent,
    }


def _output(job: Job, base_url: str) -> Output | None:
    if job.status != Status.SUCCEEDED or job.is_expired or job.output is None:
        return None
    video = job.output
    return {
        "url": content_url(job, "video", base_url),
        "content_type": VARIANTS["video"][1],
        "duration_seconds": video["duration_seconds"],
        "width": video["width"],
        "height": video["height"],
        "fps": video["fps"],
        "size_bytes": video["size_bytes"],
        "sha256": video["sha256"],
        "thumbnail_url": content_url(job, "thumbnail", base_url),
    }


def content_url(job: Job, variant: str, base_url: str) -> str:
    """A signed address of the finished video or of its thumbnail."""
    assert job.expires_at is not None
    prefix = storage_keys.attempt_prefix(job.organization_id, job.id, job.attempt)
    key, content_type, extension = VARIANTS[variant]
    download = Download(key(prefix), content_type, f"{job.id}.{extension}")
    return signed_urls.signed_url(base_url, download, job.expires_at)


def speech_url(job: Job, number: int, base_url: str) -> str | None:
    """A signed address of one of the recordings, as it is kept with the job; None while it isn't there."""
    speech = job.inputs["speech"]
    if len(speech) <= number or "file" not in speech[number]:
        return None
    until = job.expires_at or timezone.now() + timedelta(seconds=job.retention_seconds)
    key, name = speech[number]["file"]["key"], f"{job.id}-speech-{number + 1}.flac"
    return signed_urls.signed_url(base_url, Download(key, "audio/flac", name), until)


def _error(job: Job) -> JobError | None:
    if job.status != Status.FAILED:
        return None
    known = ERROR_CODES.get(job.error_code)
    retryable = known is not None and known.retryable
    return {"code": job.error_code, "detail": job.error_detail, "retryable": retryable}
