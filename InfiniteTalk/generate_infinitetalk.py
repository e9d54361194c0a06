r"""The command line, with the arguments of the published code.

    python -m InfiniteTalk.generate_infinitetalk --ckpt_dir weights/Wan2.1-I2V-14B-480P \
        --wav2vec_dir weights/chinese-wav2vec2-base --infinitetalk_dir weights/InfiniteTalk/single \
        --input_json input.json --size infinitetalk-480 --sample_steps 40 --mode streaming --save_file talk

The three folders may hold a prepared checkpoint or the downloads. Several GPUs share a render with

    torchrun --nproc_per_node=4 InfiniteTalk/generate_infinitetalk.py --ulysses_size 4 ...
"""

import argparse
import logging
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

if not __package__:
    # Run as a file: the package is found beside it, and not its modules as if each stood alone.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
import torch
from diffusers.hooks import apply_group_offloading
from tqdm import tqdm

from InfiniteTalk import parallel
from InfiniteTalk.audio import Speech, combine_speakers, load_speech
from InfiniteTalk.caching import TeaCacheConfig, enable_tea_cache
from InfiniteTalk.checkpoints.completeness import IncompleteModelError
from InfiniteTalk.checkpoints.loading import CheckpointPaths, LoadOptions, find_audio_file, load_components
from InfiniteTalk.checkpoints.lora import merge_lora
from InfiniteTalk.checkpoints.lora_files import LoraError, named_by_file, read_lora
from InfiniteTalk.checkpoints.model_configs import UnsupportedModelError
from InfiniteTalk.checkpoints.offloading import keep_resident
from InfiniteTalk.checkpoints.original_checkpoint import Speakers, UnknownKeysError
from InfiniteTalk.checkpoints.weight_files import WeightFileError, require_whole
from InfiniteTalk.guidance import AdaptiveProjectedGuidance
from InfiniteTalk.input_file import GenerationInput, read_input
from InfiniteTalk.parallel import ParallelismError, Ranks
from InfiniteTalk.pipeline import PIXELS_PER_TOKEN, InfiniteTalkPipeline
from InfiniteTalk.reference import Reference
from InfiniteTalk.rendering import Window
from InfiniteTalk.sampling import StepCallback, StepProgress
from InfiniteTalk.schedule import shift_timesteps
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.sizes import BUCKETS, Resolution, Size, choose_bucket
from InfiniteTalk.speech_encoding import SpeechTooShortError
from InfiniteTalk.transformer import EmptySpeakerMaskError
from InfiniteTalk.video_file import VideoWriter, mixed_speech
from InfiniteTalk.windows import FPS, WindowPlan, video_length

SIZES: dict[str, Resolution] = {"infinitetalk-480": "480p", "infinitetalk-720": "720p"}
DEFAULT_SHIFT = {"infinitetalk-480": 7.0, "infinitetalk-720": 11.0}
DEFAULT_LORA_SCALE = 1.2
INPUT_ERRORS = (ValueError, OSError, av.error.FFmpegError)
"""What reading and checking the arguments can meet; all of it is the user's to put right."""
MODEL_ERRORS = (
    WeightFileError,
    UnknownKeysError,
    UnsupportedModelError,
    IncompleteModelError,
    LoraError,
    EmptySpeakerMaskError,
    SpeechTooShortError,
    ParallelismError,
)
"""What a user can put right after that; anything else keeps its traceback."""
REFUSED = {
    "--quant_dir": "the published 8-bit files are not read; --quant fp8 rounds the weights of --ckpt_dir",
    "--dit_path": "a transformer merged into one file is not read; give --ckpt_dir and --infinitetalk_dir",
    "--t5_cpu": "the text encoder computes where all do; --offload_model true takes it away afterwards",
    "--dit_fsdp": "each GPU holds the whole transformer; --quant fp8 halves it, and "
    "--num_persistent_param_in_dit fetches the blocks that do not fit",
    "--t5_fsdp": "each GPU encodes the prompt by itself; --offload_model true takes the text encoder away",
    "--scene_seg": "a video is not cut at its scenes; each window sees the picture of its moment",
}
"""Arguments of the published code that have no counterpart here, and why."""


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


def build_parser() -> argparse.ArgumentParser:
    """The arguments, by the names and with the defaults of the published code."""
    parser = argparse.ArgumentParser(
        prog="generate_infinitetalk",
        description="Render a talking video of a picture (or video) and speech.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--ckpt_dir", type=Path, required=True, help="Wan2.1-I2V-14B-480P, prepared or downloaded"
    )
    files.add_argument(
        "--infinitetalk_dir", type=Path, required=True, help="the audio layers: a file or a folder"
    )
    files.add_argument("--wav2vec_dir", type=Path, required=True, help="chinese-wav2vec2-base")
    files.add_argument("--lora_dir", type=Path, nargs="+", default=[], help="LoRA files")
    files.add_argument("--lora_scale", type=float, nargs="+", default=[], help="one for each LoRA; else 1.2")
    files.add_argument(
        "--merge_lora", action="store_true", help="add LoRAs to the weights instead of beside them"
    )
    files.add_argument("--input_json", type=Path, required=True, help="prompt, picture and speech")
    files.add_argument(
        "--save_file", type=Path, default=Path("infinitetalk"), help="video to write, without .mp4"
    )

    video = parser.add_argument_group("video")
    video.add_argument("--task", choices=["infinitetalk-14B"], default="infinitetalk-14B")
    video.add_argument(
        "--size", type=_size, default="infinitetalk-480", help=f"{', '.join(SIZES)} or HEIGHTxWIDTH"
    )
    video.add_argument(
        "--mode", choices=["clip", "streaming"], default="clip", help="one window, or all speech"
    )
    video.add_argument("--frame_num", type=int, default=81, help="frames of a window")
    video.add_argument("--motion_frame", type=int, default=9, help="frames that windows share")
    video.add_argument("--max_frame_num", type=int, default=1000, help="longest video, in mode streaming")
    video.add_argument("--color_correction_strength", type=float, default=1.0, help="0 to 1")

    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--sample_steps", type=int, default=40)
    sampling.add_argument(
        "--sample_timesteps",
        type=float,
        nargs="+",
        help="timesteps before the shift, as 1000 750 500 250 for lightx2v with --sample_shift 5; "
        "by default --sample_steps of them, evenly from 1000 to 1",
    )
    sampling.add_argument("--sample_shift", type=float, help="default: 7 at 480p, 11 at 720p")
    sampling.add_argument("--sample_text_guide_scale", type=float, default=5.0)
    sampling.add_argument("--sample_audio_guide_scale", type=float, default=4.0)
    sampling.add_argument("--base_seed", type=int, default=42, help="negative for one by chance")
    sampling.add_argument(
        "--reference_compat",
        action="store_true",
        help="reproduce the published code's frames for a seed, its mistakes included",
    )
    sampling.add_argument("--use_apg", action="store_true", help="adaptive projected guidance")
    sampling.add_argument("--apg_momentum", type=float, default=-0.75)
    sampling.add_argument("--apg_norm_threshold", type=float, default=55.0)
    sampling.add_argument("--use_teacache", action="store_true", help="skip steps that change little")
    sampling.add_argument("--teacache_thresh", type=float, default=0.2, help="higher skips more")

    memory = parser.add_argument_group("memory")
    memory.add_argument("--quant", choices=["fp8"], help="round the large matrices to 8 bits")
    memory.add_argument("--float8_activations", action="store_true", help="also compute with them in 8 bits")
    memory.add_argument(
        "--num_persistent_param_in_dit",
        type=int,
        help="parameters of the transformer's blocks that stay on the GPU; 0 fetches each block when needed",
    )
    memory.add_argument(
        "--offload_model", type=_truth, help="fetch whole models when needed; default on a GPU"
    )
    parallel.add_arguments(parser)
    for name in REFUSED:
        parser.add_argument(name, nargs="?", action=_Refusal, help=argparse.SUPPRESS)
    return parser


class _Refusal(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        (name,) = self.option_strings
        parser.error(f"{name}: {REFUSED[name]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Renders what the arguments say."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    ranks = Ranks.from_environment()
    try:
        ranks.require(options.ulysses_size)
        order = read_order(options)
        ranks.check_size(order.size, order.settings.num_frames)
    except INPUT_ERRORS as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    try:
        check_weights(order, options)
        with ranks.connected():
            settings = replace(order.settings, seed=ranks.agree(order.settings.seed))
            render(replace(order, settings=settings), options, ranks)
    except MODEL_ERRORS as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def read_order(options: argparse.Namespace) -> Order:
    """Reads what the arguments name, and checks that it fits together. Raises one of `INPUT_ERRORS`."""
    request = read_input(options.input_json)
    reference = request.reference(reference_compat=options.reference_compat)
    size = options.size
    if not isinstance(size, Size):
        size = choose_bucket(reference.size, BUCKETS[SIZES[size]])
    settings = _settings(options)
    speech = [None if path is None else load_speech(path) for path in request.speech]
    plan = WindowPlan(_video_frames(request, speech, options), settings.num_frames, settings.motion_frames)
    output = _output(options.save_file)
    return Order(request, reference, speech, size, settings, plan, _lora_scales(options), output)


def check_weights(order: Order, options: argparse.Namespace) -> None:
    """Looks for files of weights that are missing or cut short. Raises one of `MODEL_ERRORS`."""
    audio_layers = find_audio_file(options.infinitetalk_dir, order.request.speakers)
    for path in (options.ckpt_dir, options.wav2vec_dir, audio_layers, *order.lora_scales):
        require_whole(path)


def render(order: Order, options: argparse.Namespace, ranks: Ranks | None = None) -> None:
    """Loads the models, renders a video and writes it; the first of the ranks that share it writes."""
    ranks = ranks or Ranks()
    pipeline = load_pipeline(options, order.request.speakers, order.lora_scales, ranks)
    if ranks.is_first:
        render_with(pipeline, order)
        return
    for _ in _windows(pipeline, order, None):
        pass


def render_with(pipeline: InfiniteTalkPipeline, order: Order) -> None:
    """Renders a video with models in memory, window by window, and writes it."""
    sound = mixed_speech(order.request.speech, order.request.speaking_order)
    with (
        VideoWriter(order.output, order.size, sound) as writer,
        _progress(order.plan, order.settings) as show_step,
    ):
        for window in _windows(pipeline, order, show_step):
            writer.write(window.frames)
    seconds = writer.num_frames / FPS
    print(f"{order.output}: {writer.num_frames} frames, {seconds:.2f} s, seed {order.settings.seed}")


def _windows(pipeline: InfiniteTalkPipeline, order: Order, callback: StepCallback | None) -> Iterator[Window]:
    return pipeline.stream(
        reference=order.reference,
        speech=order.speech,
        prompt=order.request.prompt,
        settings=order.settings,
        resolution=order.size,
        speaking_order=order.request.speaking_order,
        boxes=order.request.boxes,
        video_frames=order.plan.video_frames,
        callback=callback,
    )


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
    request: GenerationInput, speech: Sequence[Speech | None], options: argparse.Namespace
) -> int:
    """How long the video becomes; says so where that is not all of the speech."""
    voice, *others = speech
    if others:
        voice, _ = combine_speakers(voice, others[0], request.speaking_order)
    assert voice is not None  # an input file in which nobody speaks is refused
    wanted = video_length(len(voice), options.reference_compat)
    limit = options.frame_num if options.mode == "clip" else options.max_frame_num
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
    shift = options.sample_shift
    if shift is None:
        shift = DEFAULT_SHIFT[_size_class(options)]
    base = options.sample_timesteps
    return RenderSettings(
        num_inference_steps=len(base) if base else options.sample_steps,
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


def _size_class(options: argparse.Namespace) -> Literal["infinitetalk-480", "infinitetalk-720"]:
    """The resolution that a size of one's own is nearest to, by area."""
    if not isinstance(options.size, Size):
        return options.size
    return "infinitetalk-480" if options.size.height * options.size.width < 640 * 960 else "infinitetalk-720"


# ---- The models --------------------------------------------------------------------------------------------


def load_pipeline(
    options: argparse.Namespace,
    speakers: Speakers,
    lora_scales: Mapping[Path, float],
    ranks: Ranks | None = None,
) -> InfiniteTalkPipeline:
    """Loads what the arguments name, LoRAs switched on. Raises one of `MODEL_ERRORS`."""
    ranks = ranks or Ranks()
    device = ranks.device
    streams = options.num_persistent_param_in_dit is not None
    offloads = device.type == "cuda" and (streams or options.offload_model is not False)
    components = load_components(
        CheckpointPaths(
            options.ckpt_dir,
            options.infinitetalk_dir,
            options.wav2vec_dir,
            () if options.merge_lora else tuple(lora_scales),
        ),
        speakers,
        LoadOptions(
            device="cpu" if offloads else device,
            torch_dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
            quantize=options.quant == "fp8",
            float8_activations=options.float8_activations,
        ),
    )
    pipeline = InfiniteTalkPipeline.from_components(components)
    use_loras(pipeline, lora_scales, merge=options.merge_lora)
    ranks.split(pipeline.transformer)
    if streams:
        _stream_blocks(pipeline, options.num_persistent_param_in_dit, device)
    elif offloads:
        pipeline.enable_model_cpu_offload(device=device)
    if options.use_teacache:
        steps = len(options.sample_timesteps or ()) or options.sample_steps
        config = TeaCacheConfig(
            options.teacache_thresh, _size_class(options), steps, reference_compat=options.reference_compat
        )
        enable_tea_cache(pipeline.transformer, config)
    return pipeline


def _lora_scales(options: argparse.Namespace) -> dict[Path, float]:
    files = named_by_file(options.lora_dir).values()
    scales = options.lora_scale or [DEFAULT_LORA_SCALE] * len(files)
    if len(scales) != len(files):
        raise LoraError(f"{len(files)} LoRA files but {len(scales)} scales")
    return dict(zip(files, scales, strict=True))


def use_loras(pipeline: InfiniteTalkPipeline, scales: Mapping[Path, float], *, merge: bool) -> None:
    """Switches the LoRAs on, each at its scale, or adds them to the weights."""
    if merge:
        for file, scale in scales.items():
            merge_lora(pipeline.transformer, read_lora(file), scale)
    elif pipeline.loras is not None:
        names = named_by_file(list(scales))
        pipeline.loras.use({name: scales[file] for name, file in names.items()})


def _stream_blocks(pipeline: InfiniteTalkPipeline, num_parameters: int, device: torch.device) -> None:
    """Keeps on the device what was asked for and the small models; fetches the rest in parts."""
    keep_resident(pipeline.transformer, num_parameters, device, use_stream=device.type == "cuda")
    apply_group_offloading(
        pipeline.text_encoder, device, offload_type="leaf_level", use_stream=device.type == "cuda"
    )
    for model in (pipeline.image_encoder, pipeline.vae):
        model.to(device)


# ---- What is shown and read --------------------------------------------------------------------------------


@contextmanager
def _progress(plan: WindowPlan, settings: RenderSettings) -> Iterator[StepCallback]:
    """A bar over the steps of all windows."""
    with tqdm(total=len(plan) * settings.num_inference_steps, unit="step") as bar:

        def show(progress: StepProgress) -> None:
            bar.set_description(f"window {progress.window + 1} of {len(plan)}", refresh=False)
            bar.update()

        yield show


def _size(text: str) -> str | Size:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match:
        size = Size(int(match[1]), int(match[2]))
        if size.height % PIXELS_PER_TOKEN or size.width % PIXELS_PER_TOKEN:
            raise argparse.ArgumentTypeError(
                f"height and width must be multiples of {PIXELS_PER_TOKEN}, not {text}"
            )
        return size
    if text in SIZES:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SIZES)}, nor HEIGHTxWIDTH")


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


if __name__ == "__main__":
    main()
