r"""Renders one input under several settings and lays the results side by side.

    python -m InfiniteTalk.compare --variants variants.json --output comparison -- \\
        --ckpt_dir … --infinitetalk_dir … --wav2vec_dir … --lora_dir … --input_json input.json

After `--` stand the arguments of `generate_infinitetalk`. `variants.json` names the settings, each as further
arguments: `{"one-pass": "--sample_audio_guide_scale 1", "two-passes": "--sample_audio_guide_scale 2"}`.
They may say how to sample and how strong the LoRAs are, since the models are loaded once. The folder receives
a film of each, `film.mp4` with all of them beside each other, `sheet.png` with moments of each, and
`receipts.json`.
"""

import argparse
import json
import re
import shlex
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from InfiniteTalk.command_line.arguments import build_parser
from InfiniteTalk.command_line.models import load_pipeline, use_loras
from InfiniteTalk.command_line.order import Order, read_order
from InfiniteTalk.generate_infinitetalk import INPUT_ERRORS, MODEL_ERRORS, render_with
from InfiniteTalk.pipeline import InfiniteTalkPipeline
from InfiniteTalk.sizes import Size
from InfiniteTalk.video_file import VideoWriter, mixed_speech

MOMENTS = 6
"""Frames of each variant on the sheet, from its first to its last."""
LABEL_HEIGHT = 32
VARYING = {
    "sample_steps",
    "sample_timesteps",
    "sample_shift",
    "sample_text_guide_scale",
    "sample_audio_guide_scale",
    "base_seed",
    "use_apg",
    "apg_momentum",
    "apg_norm_threshold",
    "lora_scale",
}
"""Arguments that a variant may set: those that need no other models."""

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Variant:
    """One way to render the input.

    Attributes:
        name: Also of its film.
        order: What its arguments ask for.
    """

    name: str
    order: Order


@dataclass(frozen=True)
class Receipt:
    """What a variant was rendered with and what it took; `seconds` are without loading the models."""

    name: str
    film: str
    seconds: float
    passes: int
    device: str
    loras: Mapping[str, float]
    timesteps: Sequence[float]
    settings: Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Renders and compares what the arguments say."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__.partition("\n")[0])
    parser.add_argument("--variants", type=Path, required=True, help="JSON: arguments by the variant's name")
    parser.add_argument("--output", type=Path, required=True, help="a folder, made if need be")
    parser.add_argument("arguments", nargs="+", help="of generate_infinitetalk, after --")
    options = parser.parse_args(arguments)
    try:
        variants = read_variants(options.variants, options.arguments, options.output)
        compare(variants, build_parser().parse_args(options.arguments), options.output)
    except (*INPUT_ERRORS, *MODEL_ERRORS) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def read_variants(file: Path, common: Sequence[str], output: Path) -> list[Variant]:
    """Read the variants of one input.

    Raises:
        ValueError: The file isn't of that form, or a variant sets what all must have in common.
        OSError: A file can't be read.
    """
    named = json.loads(file.read_text())
    if not isinstance(named, dict) or not named or not all(isinstance(text, str) for text in named.values()):
        raise ValueError(f"{file} must hold an object: arguments by the name of a variant")
    output.mkdir(parents=True, exist_ok=True)
    return [Variant(name, _order(name, text, common, output)) for name, text in named.items()]


def compare(variants: Sequence[Variant], options: argparse.Namespace, output: Path) -> None:
    """Render the variants with the same models, and write what compares them."""
    first = variants[0].order
    pipeline = load_pipeline(options, first.request.speakers, first.lora_scales)
    receipts = [_render(pipeline, variant) for variant in variants]
    (output / "receipts.json").write_text(json.dumps([asdict(receipt) for receipt in receipts], indent=2))
    films = [variant.order.output for variant in variants]
    labels = [f"{receipt.name}: {receipt.seconds:.1f} s, {receipt.passes} pass(es)" for receipt in receipts]
    _write_sheet(films, labels, first.plan.video_frames, output / "sheet.png")
    _write_film(films, labels, first, output / "film.mp4")
    print("\n".join(labels))


def _order(name: str, text: str, common: Sequence[str], output: Path) -> Order:
    if not re.fullmatch(r"[\w.-]+", name) or name in ("film", "sheet", "receipts"):
        raise ValueError(f"{name!r} can't name a variant: letters, digits, points and dashes do")
    parser = build_parser()
    usual = vars(parser.parse_args(common))
    options = parser.parse_args([*common, *shlex.split(text)])
    changed = {argument for argument, value in vars(options).items() if value != usual[argument]}
    if unfit := changed - VARYING:
        raise ValueError(f"{name} changes {', '.join(sorted(unfit))}, which all variants have in common")
    if options.use_teacache or options.merge_lora:
        raise ValueError("--use_teacache and --merge_lora change the models, which all variants share")
    return replace(read_order(options), output=output / f"{name}.mp4")


def _render(pipeline: InfiniteTalkPipeline, variant: Variant) -> Receipt:
    order = variant.order
    use_loras(pipeline, order.lora_scales)
    began = time.monotonic()
    render_with(pipeline, order)
    seconds = time.monotonic() - began
    return Receipt(
        name=variant.name,
        film=order.output.name,
        seconds=round(seconds, 2),
        passes=len(order.settings.guidance.passes),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        loras={file.name: scale for file, scale in order.lora_scales.items()},
        timesteps=order.settings.schedule.tolist(),
        settings=asdict(order.settings),
    )


def _write_sheet(films: Sequence[Path], labels: Sequence[str], num_frames: int, path: Path) -> None:
    """A row for each variant, its moments from left to right."""
    moments = sorted(set(np.linspace(0, num_frames - 1, MOMENTS).round().astype(int).tolist()))
    rows = []
    for film, label in zip(films, labels, strict=True):
        chosen = [frame for index, frame in enumerate(_frames(film)) if index in moments]
        rows.append(_labelled(np.hstack(chosen), label))
    Image.fromarray(np.vstack(rows)).save(path)


def _write_film(films: Sequence[Path], labels: Sequence[str], order: Order, path: Path) -> None:
    """All variants beside each other, with the input's sound."""
    size = Size(order.size.height + LABEL_HEIGHT, order.size.width * len(films))
    sound = mixed_speech(order.request.speech, order.request.speaking_order)
    with VideoWriter(path, size, sound) as writer, ExitStack() as stack:
        readers = [stack.enter_context(closing(_frames(film))) for film in films]
        for frames in zip(*readers, strict=True):
            beside = [_labelled(frame, label) for frame, label in zip(frames, labels, strict=True)]
            writer.write(np.hstack(beside)[None])


def _frames(film: Path) -> Generator[Frame]:
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _labelled(frame: Frame, label: str) -> Frame:
    """The picture below a bar with the label."""
    bar = Image.new("RGB", (frame.shape[1], LABEL_HEIGHT))
    ImageDraw.Draw(bar).text((8, 8), label, fill="white")
    return np.vstack([np.asarray(bar), frame])


if __name__ == "__main__":
    main()
