"""The command line's `input.json`: what to show, what to say."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from InfiniteTalk.audio import SpeakingOrder
from InfiniteTalk.conditioning import PixelBox
from InfiniteTalk.original_checkpoint import Speakers
from InfiniteTalk.reference import Reference, StillReference, VideoReference

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".flv", ".wmv", ".webm", ".mpeg", ".mpg"}
SPEAKING_ORDERS: Mapping[str, SpeakingOrder] = {"para": "together", "add": "first_then_second"}
SILENT = "None"
"""Stands in place of a file for a person who says nothing."""


class InputFileError(ValueError):
    """The input file does not say what is needed."""


@dataclass(frozen=True)
class GenerationInput:
    """What one video is made of.

    Attributes:
        prompt: What happens.
        picture: An image or a video.
        speech: A recording for each of one or two people; None for one who says nothing.
        speaking_order: How two recordings lie on the time line.
        boxes: Where two people are; empty for one in each half of the picture.
    """

    prompt: str
    picture: Path
    speech: tuple[Path | None, ...]
    speaking_order: SpeakingOrder = "together"
    boxes: tuple[PixelBox, ...] = ()

    @property
    def speakers(self) -> Speakers:
        """Which audio layers are needed."""
        return "multi" if len(self.speech) == 2 else "single"

    def reference(self) -> Reference:
        """Opens the picture, upright as the camera meant it."""
        if self.picture.suffix.lower() in VIDEO_SUFFIXES:
            return VideoReference(self.picture)
        with Image.open(self.picture) as image:
            return StillReference(ImageOps.exif_transpose(image))


def read_input(path: Path) -> GenerationInput:
    """Reads an input file; paths in it are taken as they are, or from the file's own folder.

    Boxes are four numbers of pixels each, of which the first and third are rows and the others columns.

    Raises:
        InputFileError: Something is missing, or is not as it must be.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise InputFileError(f"{path} is no JSON: {error}") from error
    try:
        return GenerationInput(
            prompt=content["prompt"],
            picture=_existing(content["cond_video"], path.parent),
            speech=_speech(content["cond_audio"], path.parent),
            speaking_order=SPEAKING_ORDERS[content.get("audio_type", "para")],
            boxes=_boxes(content.get("bbox", {}), len(content["cond_audio"])),
        )
    except KeyError as error:
        raise InputFileError(f"{path} lacks or does not know {error}") from error


def _speech(audio: Mapping[str, Any], folder: Path) -> tuple[Path | None, ...]:
    people = [audio["person1"], *([audio["person2"]] if "person2" in audio else [])]
    speech = tuple(None if file == SILENT else _existing(file, folder) for file in people)
    if all(file is None for file in speech):
        raise InputFileError("nobody speaks")
    return speech


def _boxes(boxes: Mapping[str, Sequence[float]], people: int) -> tuple[PixelBox, ...]:
    if boxes and len(boxes) != people:
        raise InputFileError(f"{people} people need as many boxes or none, not {len(boxes)}")
    for person, box in boxes.items():
        if len(box) != 4:
            raise InputFileError(f"the box of {person} has {len(box)} numbers instead of 4")
    return tuple(PixelBox.from_reference(box) for box in boxes.values())


def _existing(name: str, folder: Path) -> Path:
    for path in (Path(name), folder / name):
        if path.is_file():
            return path
    raise InputFileError(f"{name} is no file, neither here nor beside the input file")
