"""A job's row as the spec that a render worker gets."""

from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import (
    Origin,
    ReferenceKind,
    RenderParameters,
    RenderSpec,
    Resume,
    StoredFile,
    sampling_from_dict,
)
from jobs.models import Job


def spec_of(job: Job, *, token: str, prefix: str, version: int) -> RenderSpec:
    """The self-contained spec of the job's current attempt, in a version of specs."""
    return RenderSpec(
        job_id=job.id,
        attempt=job.attempt,
        token=token,
        engine=EngineName(job.engine),
        reference=StoredFile(**job.inputs["reference"]["file"]),
        reference_kind=ReferenceKind(job.reference_kind),
        speech=tuple(StoredFile(**speech["file"]) for speech in job.inputs["speech"]),
        **RenderParameters.read(job.plain_parameters()),
        num_frames=job.num_frames,
        prefix=prefix,
        resume=Resume(tuple(job.window_prefixes), job.step_prefix or None),
        origin=Origin(job.organization_id, job.request_id, job.traceparent),
        sampling=None if job.sampling is None else sampling_from_dict(job.sampling),
        crop=job.shown_crop,
        version=version,
        simulate=None if job.livemode else job.metadata.get("simulate"),
    )
