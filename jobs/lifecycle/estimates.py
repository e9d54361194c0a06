"""What a job would be, take and cost, without making one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.tenant import Tenant
from avatar_api.common.ids import new_id
from avatar_api.common.problems import Problem
from avatar_api.common.slots import Slots
from gpu_worker.contract import costs
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.framing import frames_of
from gpu_worker.contract.presets import PresetName, Resolution
from gpu_worker.contract.spec import RenderParameters
from jobs.billing import pricing, quotas
from jobs.intake import framing, inputs, sources
from jobs.intake.inputs import CheckedFile, Item
from jobs.intake.probes.base import Face
from jobs.intake.requests import AudioChannels, JobRequest, RequestedFile
from jobs.intake.sources import Remote, SourceError
from jobs.intake.speech import voices
from jobs.lifecycle import drafts
from jobs.models import Job
from jobs.presenters import job_resource
from jobs.scheduling import eta, window_times

FETCH_SECONDS = 10.0
"""For all files at addresses together: the client waits."""
AT_ONCE_OF_ONE_TENANT = 2
EVERYBODY = ""
SIDES = {Resolution.P480: 480, Resolution.P720: 720}

_fetching = Slots("estimates of files by address")


@dataclass(frozen=True)
class Notice:
    """What a client may want to change or wait for, although the request is valid."""

    code: str
    detail: str


@dataclass(frozen=True)
class Estimate:
    """The answer of `/v1/estimates`.

    Attributes:
        input: As a job would present it.
        estimated_seconds: From the job's start to its end, without the time that it waits.
        queue_position: The place that the job would have if it came now.
        eta_seconds: Until it would have ended, the time that it waits included; None without a worker.
        cheaper_preset: The cheapest that plan and request allow, if it costs less than the chosen one.
        faces: Those in the picture, or in the video's first frame, largest first.
    """

    object: str
    livemode: bool
    input: dict[str, Any]
    duration_seconds: float
    windows: int
    estimated_seconds: float
    estimated_cost_usd: str
    queue_position: int | None
    eta_seconds: float | None
    cheaper_preset: str | None
    faces: list[Face]
    warnings: list[Notice]


def estimate(*, tenant: Tenant, job_request: JobRequest) -> Estimate:
    """Check everything about a request, files at addresses included; nothing is queued or kept.

    Raises:
        Problem: `not_in_plan`, `payload_too_large`, `concurrency_limited`, or `validation_error` with the
            file's fault.
    """
    drafts.check_plan(job_request, tenant.limits)
    drafts.check_weights(job_request.preset, drafts.engine_for(tenant))
    drafts.check_texts(job_request, tenant.limits)
    with _fetching_allowed(job_request, tenant), inputs.scratch_folder() as scratch:
        checked = inputs.check(job_request, tenant, scratch) + fetched(job_request, tenant, scratch)
    items = {file.name: inputs.item_of(file) for file in checked} | drafts.spoken_items(
        job_request, tenant.limits
    )
    job = drafts.draft(new_id("job"), tenant, job_request, items)
    measured, expected = measured_seconds(job), eta.expected_of(job)
    return Estimate(
        object="estimate",
        livemode=tenant.livemode,
        input=job_resource.input_of(job),
        duration_seconds=float(job.reserved_seconds),
        windows=job.windows,
        estimated_seconds=round(counted_seconds(job) if measured is None else measured, 1),
        estimated_cost_usd=str(pricing.cost_usd(job.reserved_seconds, job)),
        queue_position=expected.queue_position,
        eta_seconds=expected.eta_seconds,
        cheaper_preset=drafts.cheaper_preset(job_request, tenant),
        faces=framing.faces_of(items[job.reference_kind]),
        warnings=warnings_of(job, items, tenant, is_measured=measured is not None),
    )


@contextmanager
def _fetching_allowed(job_request: JobRequest, tenant: Tenant) -> Iterator[None]:
    """Servers may drip, and each holds one of the threads that answer everybody's requests.

    Raises:
        Problem: `concurrency_limited`: the tenant, or all together, have as many fetches as may be.
    """
    if not any(isinstance(file.source, Remote) for file in job_request.files):
        yield
        return
    owner = f"{tenant.organization.pk}:{tenant.livemode}"
    half = max(1, settings.WEB_THREADS // 2)
    with _fetching.taken(owner, AT_ONCE_OF_ONE_TENANT), _fetching.taken(EVERYBODY, half):
        yield


def fetched(job_request: JobRequest, tenant: Tenant, scratch: Path) -> list[CheckedFile]:
    """Raises: Problem: `validation_error` naming the field whose address or file is at fault."""
    deadline = time.monotonic() + FETCH_SECONDS
    return [
        part
        for file in job_request.files
        if isinstance(file.source, Remote)
        for part in _fetched(file, file.source, tenant, scratch, deadline)
    ]


def _fetched(
    file: RequestedFile, source: Remote, tenant: Tenant, scratch: Path, deadline: float
) -> list[CheckedFile]:
    with inputs.naming(file):
        left = deadline - time.monotonic()
        if left <= 0:
            raise SourceError(
                "download_failed", f"The files could not be downloaded within {FETCH_SECONDS:.0f} s."
            )
        limits = tenant.limits
        path = sources.fetch(source, max_bytes=limits.max_upload_bytes, seconds=left, folder=scratch)
        owner = inputs.owner_of(tenant.organization.pk, livemode=tenant.livemode)
        return inputs.probed(file, path, limits, scratch, owner)


def measured_seconds(job: Job) -> float | None:
    """From what the last jobs of this kind took here; None when there were none."""
    kind = window_times.kind_of(job)
    per_window = window_times.measure([kind]).get(kind)
    return None if per_window is None else per_window * job.windows


def counted_seconds(job: Job) -> float:
    """From the operations that the model does."""
    if job.engine == EngineName.PREVIEW:
        return window_times.PREVIEW_SECONDS_PER_WINDOW * job.windows
    return costs.estimated_gpu_seconds(
        num_frames=job.num_frames,
        resolution=Resolution(job.resolution),
        preset=PresetName(job.preset),
        speakers=len(job.inputs["speech"]),
    )


def warnings_of(job: Job, items: dict[str, Item], tenant: Tenant, *, is_measured: bool) -> list[Notice]:
    found = []
    if not is_measured:
        found.append(
            Notice("not_measured", "No comparable job has run yet; the time is computed from a model.")
        )
    facts = job.inputs["reference"]["facts"]
    side = SIDES[Resolution(job.resolution)]
    if min(facts["width"], facts["height"]) < side:
        detail = (
            f"The reference is smaller than the video; at least {side} pixels per side give a sharper result."
        )
        found.append(Notice("reference_small", detail))
    return (
        found
        + text_notices(job)
        + framing_notices(job, items)
        + sound_notices(job)
        + refusals_of(job, tenant)
    )


def text_notices(job: Job) -> list[Notice]:
    """How exact a length is that was counted from a text."""
    said = [
        voices.offered()[name] for item in job.inputs["speech"] for name in item["facts"].get("voices", ())
    ]
    if not said:
        return []
    percent = 100 * max(voice.pace.tolerance for voice in said)
    detail = f"The length is counted from the text: the speech is usually within {percent:.0f} % of it."
    return [Notice("length_estimated", detail)]


def framing_notices(job: Job, items: dict[str, Item]) -> list[Notice]:
    """What is wrong with the faces in the part of the reference that is shown."""
    parameters = RenderParameters.read(job.plain_parameters())
    found = framing.notices(
        items[job.reference_kind],
        job.shown_crop,
        parameters["speaker_boxes"],
        len(job.inputs["speech"]),
        frames_of(parameters["resolution"], parameters["preset"]),
    )
    return [Notice(code, detail) for code, detail in found]


def sound_notices(job: Job) -> list[Notice]:
    """What a stereo recording suggests."""
    if job.audio_channels == AudioChannels.SPLIT:
        return []
    found = []
    for name, item in zip(("audio", "audio_2"), job.inputs["speech"], strict=False):
        if channel := item["facts"].get("channel"):
            detail = f"{name}: the channels have opposite phases and cancel out; the {channel} one is used."
            found.append(Notice("channels_cancel", detail))
    if len(job.inputs["speech"]) == 1 and job.inputs["speech"][0].get("separate_speakers"):
        detail = "Left and right hardly correlate: for one speaker on each, send audio_channels=split."
        found.append(Notice("separate_speakers", detail))
    return found


def refusals_of(job: Job, tenant: Tenant) -> list[Notice]:
    """Why this very job would be refused at the moment, although nothing is wrong with it."""
    try:
        quotas.refuse_full_queue(tenant)
        if tenant.livemode:
            quotas.refuse_beyond(job.reserved_seconds, quotas.seconds_left(tenant))
    except Problem as problem:
        return [Notice(problem.code, str(problem.detail))]
    return []
