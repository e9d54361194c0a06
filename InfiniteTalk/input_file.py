"""The command line's `input.json`: what to show, what to say."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from InfiniteTalk.audio import SpeakingOrder
from InfiniteTalk.checkpoints.git_lfs import is_pointer
from InfiniteTalk.checkpoints.original_checkpoint import Speakers
from InfiniteTalk.conditioning import PixelBox
from InfiniteTalk.pictures import read_picture
from InfiniteTalk.reference import Reference, StillReference, VideoReference

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".flv", ".wmv", ".webm", ".mpeg", ".mpg"}
SPEAKING_ORDERS: Mapping[str, SpeakingOrder] = {"para": "together", "add": "first_then_second"}
SILENT = "None"
"""Stands in place of a file for a person who says nothing."""
PEOPLE = ("person1", "person2")


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

    def reference(self, *, reference_compat: bool = False) -> Reference:
        """Opens the picture, upright as the camera meant it.

        Args:
            reference_compat: Of a video, count frames instead of time, as the published code does.
        """
        if self.picture.suffix.lower() in VIDEO_SUFFIXES:
            return VideoReference(self.picture, reference_compat)
        return StillReference(read_picture(self.picture))


def read_input(path: Path) -> GenerationInput:
    """Reads an input file; paths in it are taken as they are, or from the file's own folder.

    Boxes are four numbers of pixels each, of which the first and third are rows and the others columns.

    Raises:
        InputFileError: Something is missing, or is not as it must be.
        OSError: The file can't be read.
    """
    content = _object(_json(path), str(path))
    speech = _speech(_object(_required(content, "cond_audio", path), "cond_audio"), path.parent)
    return GenerationInput(
        prompt=_text(_required(content, "prompt", path), "prompt"),
        picture=_existing(_text(_required(content, "cond_video", path), "cond_video"), path.parent),
        speech=speech,
        speaking_order=_speaking_order(content.get("audio_type", "para")),
        boxes=_boxes(_object(content.get("bbox", {}), "bbox"), len(speech)),
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path} is no JSON: {error}") from error


def _required(content: Mapping[str, Any], name: str, path: Path) -> Any:
    if name not in content:
        raise InputFileError(f"{path} lacks {name!r}")
    return content[name]


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputFileError(f"{name} must be a JSON object, not {_shown(value)}")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputFileError(f"{name} must be text, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _speech(audio: Mapping[str, Any], folder: Path) -> tuple[Path | None, ...]:
    if "person1" not in audio:
        raise InputFileError("cond_audio lacks 'person1'")
    if unknown := audio.keys() - set(PEOPLE):
        raise InputFileError(
            f"cond_audio names {', '.join(sorted(unknown))}; only {' and '.join(PEOPLE)} speak"
        )
    files = [_text(audio[person], person) for person in PEOPLE if person in audio]
    speech = tuple(None if file == SILENT else _existing(file, folder) for file in files)
    if all(file is None for file in speech):
        raise InputFileError("nobody speaks")
    return speech


def _speaking_order(name: Any) -> SpeakingOrder:
    if not isinstance(name, str) or name not in SPEAKING_ORDERS:
        raise InputFileError(f"audio_type must be one of {', '.join(SPEAKING_ORDERS)}, not {_shown(name)}")
    return SPEAKING_ORDERS[name]


def _boxes(boxes: Mapping[str, Any], people: int) -> tuple[PixelBox, ...]:
    if not boxes:
        return ()
    if len(boxes) != people:
        raise InputFileError(f"{people} people need as many boxes or none, not {len(boxes)}")
    if unknown := boxes.keys() - set(PEOPLE[:people]):
        raise InputFileError(f"bbox names {', '.join(sorted(unknown))}, who do not speak")
    return tuple(_box(boxes[person], person) for person in PEOPLE[:people])


def _box(numbers: Any, person: str) -> PixelBox:
    if not isinstance(numbers, list) or not all(_is_number(number) for number in numbers):
        raise InputFileError(f"the box of {person} must be a list of 4 numbers, not {_shown(numbers)}")
    if len(numbers) != 4:
        raise InputFileError(f"the box of {person} has {len(numbers)} numbers instead of 4")
    box = PixelBox.from_reference(numbers)
    if box.right <= box.left or box.bottom <= box.top:
        raise InputFileError(f"the box of {person} is empty: {_shown(numbers)} is [top, left, bottom, right]")
    return box


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _existing(name: str, folder: Path) -> Path:
    for path in (Path(name), folder / name):
        if path.is_file():
            if is_pointer(path):
                raise InputFileError(f"{path} is a Git LFS pointer; get the file itself by `git lfs pull`")
            return path
    raise InputFileError(f"{name} is no file, neither here nor beside the input file")
