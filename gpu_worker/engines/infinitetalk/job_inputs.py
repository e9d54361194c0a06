"""What the pipeline is given for a job: its reference, speakers, settings and LoRA."""

from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PRESETS, Preset, Weights
from gpu_worker.contract.spec import ReferenceKind
from gpu_worker.engines.base import EngineJob, RenderError
from InfiniteTalk.conditioning import SpeakerBox
from InfiniteTalk.flashtalk import BUCKETS as TURBO_BUCKETS
from InfiniteTalk.pictures import read_picture
from InfiniteTalk.reference import CroppedReference, Reference, StillReference, VideoReference
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import BUCKETS, Size, choose_bucket


def reference_of(job: EngineJob) -> Reference:
    """The picture or video, or the part of it that the job asks for."""
    whole: Reference = (
        VideoReference(job.reference)
        if job.reference_kind is ReferenceKind.VIDEO
        else StillReference(read_picture(job.reference))
    )
    if job.crop is None:
        return whole
    return CroppedReference(whole, job.crop.in_pixels((whole.size.width, whole.size.height)))


def speaker_boxes(job: EngineJob) -> list[SpeakerBox]:
    """Where the speakers are, in what `reference_of` shows."""
    boxes = [Box(box.x, box.y, box.width, box.height) for box in job.speaker_boxes]
    if job.crop is not None:
        boxes = [box.within(job.crop).cut_off() for box in boxes]
    return [SpeakerBox(box.x, box.y, box.width, box.height) for box in boxes]


def settings_of(job: EngineJob) -> RenderSettings:
    sampling, windows = job.sampling, PRESETS[job.preset].windows
    return RenderSettings(
        num_inference_steps=len(sampling.timesteps),
        shift=1.0,  # The timesteps are shifted already.
        timesteps=sampling.timesteps,
        text_guidance_scale=sampling.text_guidance_scale,
        audio_guidance_scale=sampling.audio_guidance_scale,
        seed=job.seed,
        num_frames=windows.num_frames,
        motion_frames=windows.motion_frames,
        lead_in=windows.lead_in,
        distilled=PRESETS[job.preset].weights is Weights.TURBO,
    )


def bucket_of(job: EngineJob, reference: Size) -> Size:
    """The size that is rendered, by the reference's shape."""
    if PRESETS[job.preset].weights is Weights.TURBO:
        return choose_bucket(reference, TURBO_BUCKETS)
    return choose_bucket(reference, BUCKETS[job.resolution.value])


def lora_scales(preset: Preset, names: tuple[str, ...]) -> dict[str, float]:
    """The LoRA that a preset wants.

    Raises:
        RenderError: `model_unavailable`, when it isn't in the model store.
    """
    if preset.lora is None:
        return {}
    if preset.lora not in names:
        raise RenderError("model_unavailable", "The weights of this preset are not installed.")
    return {preset.lora: 1.0}
