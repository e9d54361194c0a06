r"""The command line, with the arguments of the published code.

    python -m InfiniteTalk.generate_infinitetalk --ckpt_dir weights/Wan2.1-I2V-14B-480P \
        --wav2vec_dir weights/chinese-wav2vec2-base --infinitetalk_dir weights/InfiniteTalk/single \
        --input_json input.json --size infinitetalk-480 --sample_steps 40 --mode streaming --save_file talk

The three folders may hold a prepared checkpoint or the downloads. `--task flashtalk-14B` renders in
four steps with `--ckpt_dir weights/SoulX-FlashTalk-14B`, which holds the audio layers itself. Several GPUs
share a render with

    torchrun --nproc_per_node=4 InfiniteTalk/generate_infinitetalk.py --ulysses_size 4 ...
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

if not __package__:
    # Run as a file: the package is found beside it, and not its modules as if each stood alone.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import av
from tqdm import tqdm

from InfiniteTalk.checkpoints.audio_layers import find_audio_file
from InfiniteTalk.checkpoints.completeness import IncompleteModelError
from InfiniteTalk.checkpoints.lora_files import LoraError
from InfiniteTalk.checkpoints.model_configs import UnsupportedModelError
from InfiniteTalk.checkpoints.original_checkpoint import UnknownKeysError
from InfiniteTalk.checkpoints.weight_files import WeightFileError, require_whole
from InfiniteTalk.command_line.arguments import FLASHTALK, build_parser, check_task
from InfiniteTalk.command_line.models import load_pipeline
from InfiniteTalk.command_line.order import Order, read_order
from InfiniteTalk.parallel import ParallelismError, Ranks
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.rendering import Window
from InfiniteTalk.sampling import StepCallback, StepProgress
from InfiniteTalk.settings import RenderSettings
from InfiniteTalk.speech_encoding import SpeechTooShortError
from InfiniteTalk.transformer import EmptySpeakerMaskError
from InfiniteTalk.video_file import VideoWriter, mixed_speech
from InfiniteTalk.windows import FPS, WindowPlan

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Renders what the arguments say."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    check_task(parser, options)
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


def check_weights(order: Order, options: argparse.Namespace) -> None:
    """Looks for files of weights that are missing or cut short. Raises one of `MODEL_ERRORS`."""
    paths = [options.ckpt_dir, options.wav2vec_dir, *order.lora_scales]
    if options.task != FLASHTALK:
        paths.append(find_audio_file(options.infinitetalk_dir, order.request.speakers))
    for path in paths:
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


@contextmanager
def _progress(plan: WindowPlan, settings: RenderSettings) -> Iterator[StepCallback]:
    """A bar over the steps of all windows."""
    with tqdm(total=len(plan) * settings.num_inference_steps, unit="step") as bar:

        def show(progress: StepProgress) -> None:
            bar.set_description(f"window {progress.window + 1} of {len(plan)}", refresh=False)
            bar.update()

        yield show


if __name__ == "__main__":
    main()
