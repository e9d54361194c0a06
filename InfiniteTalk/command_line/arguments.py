"""The arguments, by the names and with the defaults of the published code."""

import argparse
import re
from pathlib import Path
from typing import Literal

from InfiniteTalk import parallel
from InfiniteTalk.pipeline import PIXELS_PER_TOKEN
from InfiniteTalk.sizes import Resolution, Size

SIZES: dict[str, Resolution] = {"infinitetalk-480": "480p", "infinitetalk-720": "720p"}
FLASHTALK = "flashtalk-14B"
FIXED_BY_FLASHTALK = (
    "infinitetalk_dir",
    "lora_dir",
    "frame_num",
    "motion_frame",
    "sample_timesteps",
    "sample_shift",
    "sample_text_guide_scale",
    "sample_audio_guide_scale",
    "use_apg",
    "use_teacache",
)
"""Arguments that change nothing about weights which were trained to be sampled in one way."""
DEFAULT_STEPS = {"infinitetalk-14B": 40, FLASHTALK: 4}
DEFAULT_SHIFT = {"infinitetalk-480": 7.0, "infinitetalk-720": 11.0}
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


def build_parser() -> argparse.ArgumentParser:
    """The arguments, by the names and with the defaults of the published code."""
    parser = argparse.ArgumentParser(
        prog="generate_infinitetalk",
        description="Render a talking video of a picture (or video) and speech.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--ckpt_dir",
        type=Path,
        required=True,
        help="Wan2.1-I2V-14B-480P, prepared or downloaded; SoulX-FlashTalk-14B for task flashtalk-14B",
    )
    files.add_argument(
        "--infinitetalk_dir",
        type=Path,
        help="the audio layers: a file or a folder; task flashtalk-14B needs none",
    )
    files.add_argument("--wav2vec_dir", type=Path, required=True, help="chinese-wav2vec2-base")
    files.add_argument("--lora_dir", type=Path, nargs="+", default=[], help="LoRA files")
    files.add_argument("--lora_scale", type=float, nargs="+", default=[], help="one for each LoRA; else 1.2")
    files.add_argument(
        "--merge_lora",
        action="store_true",
        help="add LoRAs to the weights (of 16 bits, before --quant) instead of beside them",
    )
    files.add_argument("--input_json", type=Path, required=True, help="prompt, picture and speech")
    files.add_argument(
        "--save_file", type=Path, default=Path("infinitetalk"), help="video to write, without .mp4"
    )

    video = parser.add_argument_group("video")
    video.add_argument("--task", choices=list(DEFAULT_STEPS), default="infinitetalk-14B")
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
    sampling.add_argument("--sample_steps", type=int, help="default: 40, or 4 for flashtalk-14B (4 or 2)")
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


def check_task(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends the program where an argument of one task is missing, or doesn't belong to it."""
    if options.task != FLASHTALK:
        if options.infinitetalk_dir is None:
            parser.error("the following arguments are required: --infinitetalk_dir")
        return
    for name in FIXED_BY_FLASHTALK:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name}: task {FLASHTALK} has no choice of it")
    if options.size == "infinitetalk-720":
        parser.error(f"--size: task {FLASHTALK} renders at about 768x448; choose infinitetalk-480")


class _Refusal(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        (name,) = self.option_strings
        parser.error(f"{name}: {REFUSED[name]}")


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


def size_class(options: argparse.Namespace) -> Literal["infinitetalk-480", "infinitetalk-720"]:
    """The resolution that a size of one's own is nearest to, by area."""
    if not isinstance(options.size, Size):
        return options.size
    return "infinitetalk-480" if options.size.height * options.size.width < 640 * 960 else "infinitetalk-720"


def steps_of(options: argparse.Namespace) -> int:
    """How many steps each window is sampled in."""
    if options.sample_timesteps:
        return len(options.sample_timesteps)
    if options.sample_steps is None:
        return DEFAULT_STEPS[options.task]
    return int(options.sample_steps)
