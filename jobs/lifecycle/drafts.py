"""A request as the row of a job, before it is saved."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction

from django.conf import settings
from redis.exceptions import RedisError

from accounts.limits import Limits
from accounts.tenant import Tenant
from avatar_api.common.problems import FieldError, Problem, invalid
from avatar_api.common.redis import redis_client
from gpu_worker.contract import heartbeats, windows
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.framing import frames_of
from gpu_worker.contract.presets import PRESETS, PresetName
from gpu_worker.contract.spec import ReferenceKind
from jobs.intake import framing, inputs
from jobs.intake.inputs import Item
from jobs.intake.normalize import IntakeError
from jobs.intake.requests import JobRequest
from jobs.intake.speech import texts, voices
from jobs.intake.speech.texts import Spoken
from jobs.models import Job

log = logging.getLogger(__name__)

MILLISECOND = Decimal("0.001")
COUNTED_RATE = 1000


@dataclass(frozen=True)
class Length:
    """How long a job's video is, in three units, seconds to a thousandth; zero as long as nobody knows."""

    num_frames: int
    windows: int
    reserved_seconds: Decimal


def length_of(duration: Fraction | None, preset: PresetName) -> Length:
    if duration is None:
        return Length(0, 0, Decimal(0))
    num_frames = windows.frames_of(duration.numerator, duration.denominator)
    seconds = Decimal(duration.numerator) / duration.denominator
    return Length(num_frames, len(PRESETS[preset].windows.plan(num_frames)), seconds.quantize(MILLISECOND))


def check_plan(job_request: JobRequest, limits: Limits) -> None:
    """Raises: Problem: `not_in_plan` for a resolution or preset that the plan doesn't include."""
    for name, value, allowed in (
        ("resolution", job_request.resolution.value, limits.resolutions),
        ("preset", job_request.preset.value, limits.presets),
    ):
        if value not in allowed:
            raise Problem("not_in_plan", f"The plan allows these for {name}: {', '.join(sorted(allowed))}.")


def check_texts(job_request: JobRequest, limits: Limits) -> None:
    """Refuse now what would be too long once it is spoken; a little longer may still fit.

    Raises:
        Problem: `validation_error` with `audio_too_long`.
    """
    for file in job_request.speech:
        if isinstance(file.source, Spoken):
            seconds = texts.seconds_of(file.source, voices.offered())
            tolerance = texts.tolerance_of(file.source, voices.offered())
            if seconds > (1 + tolerance) * limits.max_speech_seconds:
                allowed = limits.max_speech_seconds
                detail = f"It takes about {seconds:.0f} s to say; the plan allows {allowed} s."
                raise invalid(FieldError(file.field, "audio_too_long", detail))


def spoken_items(job_request: JobRequest, limits: Limits) -> dict[str, Item]:
    """What is known of speech that is still to be made: its length as it is counted from the text.

    It is no longer than the plan allows, since what `check_texts` lets pass may still fit.
    """
    items: dict[str, Item] = {}
    for file in job_request.speech:
        if isinstance(file.source, Spoken):
            counted = texts.seconds_of(file.source, voices.offered())
            seconds = min(counted, limits.max_speech_seconds)
            item = inputs.item_to_fetch(file) | {"samples": [round(COUNTED_RATE * seconds), COUNTED_RATE]}
            items |= dict.fromkeys(file.parts, item)
    return items


def engine_for(tenant: Tenant) -> EngineName:
    """What renders the tenant's jobs."""
    return EngineName(settings.LIVE_ENGINE) if tenant.livemode else EngineName.PREVIEW


def _offered_presets(engine: EngineName) -> frozenset[str] | None:
    """Those that workers have had weights for lately; None where nobody can say."""
    try:
        with redis_client() as redis:
            return heartbeats.read_offered(redis, engine)
    except RedisError:
        log.warning("Redis can't say which presets are offered")
        return None


def check_weights(preset: str, engine: EngineName) -> None:
    """Refuse a preset that would wait for ever: no worker has had its weights lately.

    Nothing is refused before any worker was there, nor while Redis can't say.

    Raises:
        Problem: `validation_error` at `preset`.
    """
    offered = _offered_presets(engine)
    if offered is not None and preset not in offered:
        installed = ", ".join(sorted(offered))
        detail = f"The weights of {preset} are not installed here. Choose one of {installed}."
        raise invalid(FieldError("preset", "not_offered", detail))


def cheaper_preset(job_request: JobRequest, tenant: Tenant) -> PresetName | None:
    """The cheapest preset that could render this request, if it costs less than the one that was chosen."""
    offered = _offered_presets(engine_for(tenant)) or frozenset(PresetName)
    fitting = [
        name
        for name, preset in PRESETS.items()
        if name in tenant.limits.presets
        and name in offered
        and job_request.resolution in preset.resolutions
        and sum(len(file.parts) for file in job_request.speech) <= preset.max_speakers
        and (preset.dubs or job_request.reference_kind is ReferenceKind.IMAGE)
    ]
    cheapest = min(fitting, key=lambda name: PRESETS[name].price_factor, default=job_request.preset)
    saves = PRESETS[cheapest].price_factor < PRESETS[job_request.preset].price_factor
    return cheapest if saves else None


@contextmanager
def naming_crop() -> Iterator[None]:
    """Turns the fault of a crop into the problem of its field."""
    try:
        yield
    except IntakeError as error:
        raise invalid(FieldError("crop", error.code, error.detail)) from error


def draft(job_id: str, tenant: Tenant, job_request: JobRequest, items: dict[str, Item]) -> Job:
    """The row of a new job, not yet saved.

    Args:
        job_id: Its id.
        tenant: Whose it is.
        job_request: The checked request.
        items: What is known of its files, by name; those at an address may be missing.

    Raises:
        Problem: `validation_error` with `audio_too_long` when two speeches in turn pass the plan's limit.
    """
    missing = [file for file in job_request.files if file.name not in items]
    known = {name: inputs.item_to_fetch(file) for file in missing for name in file.parts} | items
    arranged = inputs.arrange(known, job_request.reference_kind)
    with naming_crop():
        framing.refuse_tiny(job_request.crop, arranged["reference"])
    arranged["reference"] = inputs.framed(
        arranged, job_request.speaker_boxes, frames_of(job_request.resolution, job_request.preset)
    )
    with inputs.naming(job_request.speech[-1]):
        duration = inputs.duration_of(arranged, job_request.speaking_order, tenant.limits)
    return Job(
        id=job_id,
        organization=tenant.organization,
        api_key=tenant.api_key,
        created_by=tenant.user,
        livemode=tenant.livemode,
        engine=engine_for(tenant),
        **job_request.plain_parameters(),
        webhook_url=job_request.webhook_url,
        metadata=job_request.metadata,
        consent=job_request.consent,
        audio_channels=job_request.audio_channels,
        crop=None if job_request.crop is None else asdict(job_request.crop),
        reference_kind=job_request.reference_kind,
        inputs=arranged,
        urls=inputs.pending_of(missing) or None,
        **asdict(length_of(duration, job_request.preset)),
        retention_seconds=tenant.limits.retention_seconds,
        price_per_video_second_usd=tenant.limits.price_per_video_second_usd,
    )
