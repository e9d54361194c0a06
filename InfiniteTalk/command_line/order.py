"""What the arguments order, read and checked before any model is loaded."""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from InfiniteTalk.audio import Speech, combine_speakers, load_speech
from InfiniteTalk.checkpoints.lora_files import LoraError, named_by_file
from InfiniteTalk.command_line.arguments import DEFAULT_SHIFT, FLASHTALK, SIZES, size_class, steps_of
from InfiniteTalk.flashtalk import BUCKETS as FLASHTALK_BUCKETS
from InfiniteTalk.flashtalk import flashtalk_settings
from InfiniteTalk.guidance import AdaptiveProjectedGuidance
from InfiniteTalk.input_file import GenerationInput, read_input
from InfiniteTalk.parallel import Ranks
from InfiniteTalk.reference import Reference
from InfiniteTalk.schedule import shift_timesteps
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import BUCKETS, Size, choose_bucket
from InfiniteTalk.windows import WindowPlan, video_length

DEFAULT_LORA_SCALE = 1.2


@dataclass(frozen=True)
class Order:
    """What the arguments ask for, read and checked before any model is loaded.

    Attributes:
        request: What the input file says.
        reference: The picture, opened.
        speech: What each person says; None for one who is silent.
        size: The video's size.
        settings: How to render.
        plan: The windows.
        lora_scales: How strong each LoRA is.
        output: The video to write.
    """

    request: GenerationInput
    reference: Reference
    speech: Sequence[Speech | None]
    size: Size
    settings: RenderSettings
    plan: WindowPlan
    lora_scales: Mapping[Path, float]
    output: Path


def read_order(options: argparse.Namespace) -> Order:
    """Reads what the arguments name, and checks that it fits together. Raises one of `INPUT_ERRORS`."""
    request = read_input(options.input_json)
    reference = request.reference(reference_compat=options.reference_compat)
    if options.task == FLASHTALK:
        _require_portrait_of_one(request, reference)
    size = options.size
    if not isinstance(size, Size):
        flashtalk = options.task == FLASHTALK
        size = choose_bucket(reference.size, FLASHTALK_BUCKETS if flashtalk else BUCKETS[SIZES[size]])
    settings = _settings(options)
    speech = [None if path is None else load_speech(path) for path in request.speech]
    plan = settings.plan(_video_frames(request, speech, options, settings))
    output = _output(options.save_file)
    return Order(request, reference, speech, size, settings, plan, _lora_scales(options), output)


def _require_portrait_of_one(request: GenerationInput, reference: Reference) -> None:
    if request.speakers == "multi":
        raise ValueError(f"task {FLASHTALK} has weights for one person, and two speak here")
    if not reference.is_still:
        raise ValueError(f"task {FLASHTALK} renders pictures; cond_video is a video here")


def _output(save_file: Path) -> Path:
    """The video to write."""
    output = save_file.with_name(f"{save_file.name.removesuffix('.mp4')}.mp4")
    for folder in (save_file, output):
        if folder.is_dir():
            raise IsADirectoryError(
                f"{folder} is a folder; name the video in it, as in {folder / 'talk.mp4'}"
            )
    if not output.parent.is_dir():
        raise NotADirectoryError(f"{output.parent} is no folder to write {output.name} to")
    return output


def _video_frames(
    request: GenerationInput,
    speech: Sequence[Speech | None],
    options: argparse.Namespace,
    settings: RenderSettings,
) -> int:
    """How long the video becomes; says so where that is not all of the speech."""
    voice, *others = speech
    if others:
        voice, _ = combine_speakers(voice, others[0], request.speaking_order)
    assert voice is not None  # an input file in which nobody speaks is refused
    wanted = video_length(len(voice), options.reference_compat)
    window = settings.num_frames - settings.lead_in
    limit = window if options.mode == "clip" else options.max_frame_num
    if wanted > limit and Ranks.from_environment().is_first:
        argument = "--mode clip" if options.mode == "clip" else "--max_frame_num"
        print(f"the speech takes {wanted} frames; {argument} ends the video after {limit}")
    return min(wanted, limit)


def _settings(options: argparse.Namespace) -> RenderSettings:
    apg = (
        AdaptiveProjectedGuidance(options.apg_momentum, options.apg_norm_threshold)
        if options.use_apg
        else None
    )
    seed = options.base_seed if options.base_seed >= 0 else random.randrange(2**31)  # noqa: S311
    if options.task == FLASHTALK:
        chosen = flashtalk_settings(
            steps=steps_of(options), seed=seed, reference_compat=options.reference_compat
        )
        return replace(chosen, color_correction_strength=options.color_correction_strength)
    shift = options.sample_shift
    if shift is None:
        shift = DEFAULT_SHIFT[size_class(options)]
    base = options.sample_timesteps
    return RenderSettings(
        num_inference_steps=steps_of(options),
        shift=shift,
        timesteps=shift_timesteps(base, shift) if base else None,
        text_guidance_scale=options.sample_text_guide_scale,
        audio_guidance_scale=options.sample_audio_guide_scale,
        apg=apg,
        seed=seed,
        num_frames=options.frame_num,
        motion_frames=options.motion_frame,
        color_correction_strength=options.color_correction_strength,
        reference_compat=options.reference_compat,
    )


def _lora_scales(options: argparse.Namespace) -> dict[Path, float]:
    files = named_by_file(options.lora_dir).values()
    scales = options.lora_scale or [DEFAULT_LORA_SCALE] * len(files)
    if len(scales) != len(files):
        raise LoraError(f"{len(files)} LoRA files but {len(scales)} scales")
    return dict(zip(files, scales, strict=True))
