"""Which part of a picture a job shows, and what about its faces a client should know."""

from collections.abc import Sequence
from typing import Any

from gpu_worker.contract.framing import Box, Frames, crop_around
from gpu_worker.contract.spec import SpeakerBox
from jobs.intake.probes.base import Face, IntakeError

MIN_CROP_PIXELS = 64
EDGE = 0.02
"""Of the frame's width and height: a face that comes so near is cut by the sway of the head."""
MIN_FACE = 0.12
"""Of the frame's shorter side: below, a mouth has too few pixels to be seen moving."""
IN_WORDS = {1: "one", 2: "two"}

Notices = list[tuple[str, str]]


def faces_of(item: dict[str, Any]) -> list[Face]:
    """What the intake found in a reference; nothing as long as it hasn't looked."""
    return [Face(**face) for face in item.get("faces", ())]


def default_crop(
    item: dict[str, Any], boxes: Sequence[SpeakerBox], num_speakers: int, shapes: Frames
) -> Box | None:
    """The crop around the speakers, or None as long as the reference hasn't been looked at."""
    if "faces" not in item:
        return None
    facts = item["facts"]
    speakers = speakers_of(faces_of(item), boxes, num_speakers)
    return crop_around(speakers, (facts["width"], facts["height"]), shapes)


def speakers_of(faces: Sequence[Face], boxes: Sequence[SpeakerBox], num_speakers: int) -> list[Box]:
    """The speakers' faces: in each box the largest one, or the box itself; without boxes the largest ones."""
    if len(boxes) != num_speakers:
        return [face.box for face in faces if face.speaks][:num_speakers]
    return [_in_box(Box(box.x, box.y, box.width, box.height), faces) for box in boxes]


def _in_box(box: Box, faces: Sequence[Face]) -> Box:
    inside = (face.box for face in faces if face.speaks and _holds(box, face.box))
    return next(inside, box)


def _holds(box: Box, face: Box) -> bool:
    x, y = face.x + face.width / 2, face.y + face.height / 2
    return box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height


def refuse_tiny(crop: Box | None, item: dict[str, Any]) -> None:
    """Raises: IntakeError: `image_too_small`: the crop has too few pixels of the reference."""
    facts = item["facts"]
    if crop is None or "width" not in facts:
        return
    width, height = round(crop.width * facts["width"]), round(crop.height * facts["height"])
    if min(width, height) < MIN_CROP_PIXELS:
        detail = f"The crop is {width} × {height} pixels; each side must have at least {MIN_CROP_PIXELS}."
        raise IntakeError("image_too_small", detail)


def notices(
    item: dict[str, Any],
    crop: Box | None,
    boxes: Sequence[SpeakerBox],
    num_speakers: int,
    shapes: Frames,
) -> Notices:
    """Codes and sentences about the faces in the part that is shown."""
    if "faces" not in item or crop is None:
        return []
    shown = [face for face in faces_of(item) if face.speaks and _holds(crop, face.box)]
    if len(shown) < num_speakers:
        return [("no_face_found", _missing(len(shown), num_speakers))]
    found: Notices = []
    if len(shown) > num_speakers and len(boxes) != num_speakers:
        detail = f"{len(shown)} faces are seen; the largest speak. Name the speakers by speaker_boxes."
        found.append(("several_faces", detail))
    speakers = [face.within(crop) for face in speakers_of(shown, boxes, num_speakers)]
    if any(_is_near_edge(face) for face in speakers):
        detail = "A speaker's face reaches the edge of the video: leave room around it, or change crop."
        found.append(("face_near_edge", detail))
    if any(_is_too_small(face, crop, item["facts"], shapes) for face in speakers):
        detail = "A speaker's face is small in the video: choose a crop around it, or a closer picture."
        found.append(("face_too_small", detail))
    return found


def _missing(found: int, wanted: int) -> str:
    seen = f"Only {IN_WORDS[found]} face is" if found else "No face is"
    return (
        f"{seen} seen from the front where {IN_WORDS[wanted]} should speak: "
        "choose a picture in which each speaker looks towards the camera, or another crop."
    )


def _is_near_edge(face: Box) -> bool:
    return min(face.x, face.y) < EDGE or face.x + face.width > 1 - EDGE or face.y + face.height > 1 - EDGE


def _is_too_small(face: Box, crop: Box, facts: dict[str, Any], shapes: Frames) -> bool:
    """Whether the face's height in the video is below its share of the frame's shorter side."""
    ratio = crop.height * facts["height"] / (crop.width * facts["width"])
    width, height = shapes[min(shapes, key=lambda shape: abs(shape - ratio))]
    return face.height * height < MIN_FACE * min(width, height)
