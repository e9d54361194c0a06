"""Which faces a preview takes for speakers, and how it draws them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpu_worker.contract.spec import SpeakingOrder
from gpu_worker.engines.base import RenderError
from gpu_worker.engines.preview import Face
from gpu_worker.engines.preview.casting import cast
from tests.gpu_worker import preview_jobs
from tests.gpu_worker.preview_jobs import DRAWING, JOB

PICTURES = DRAWING.parent
SPEAKING = 30
"""Frames, in which the sample speech opens the mouth."""


@pytest.mark.parametrize("name", ["earth.jpg", "jupiter.jpg"])
def test_clouds_that_look_like_a_face_are_refused(name: str) -> None:
    with pytest.raises(RenderError) as refused:
        preview_jobs.render(reference=PICTURES / name, num_frames=1)
    assert refused.value.code == "face_not_found"


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_picture_that_lies_or_stands_on_its_head_speaks_with_its_own_mouth(
    tmp_path: Path, quarter_turns: int
) -> None:
    turned = np.ascontiguousarray(np.rot90(preview_jobs.drawing(), quarter_turns))
    reference = preview_jobs.write_picture(tmp_path / "turned.png", turned)
    frames = preview_jobs.render(reference=reference, num_frames=SPEAKING)
    upright = [np.ascontiguousarray(np.rot90(frame, -quarter_turns)) for frame in frames[::3]]
    openings = [preview_jobs.mouth_opening(preview_jobs.find_face(frame)) for frame in upright]
    assert np.ptp(openings) > 0.03


def turned_head(degrees: float) -> Face:
    """The drawing's face, turned about its own axis."""
    face = preview_jobs.finder().find(preview_jobs.drawing()[..., ::-1].copy())[0]
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    centre = face.points.mean(0)
    return Face((face.points - centre) @ turn.T + centre)


def test_a_profile_is_refused_with_what_to_do() -> None:
    with pytest.raises(RenderError) as refused:
        cast([turned_head(50)], (), 1, (1080, 1080))
    assert refused.value.code == "face_not_found"
    assert "seen from the side" in refused.value.detail
    assert "looks towards the camera" in refused.value.detail


def test_a_head_turned_half_aside_is_taken() -> None:
    assert cast([turned_head(30)], (), 1, (1080, 1080))


def test_lips_that_are_seen_from_the_side_open_less() -> None:
    front = preview_jobs.render(num_frames=SPEAKING)
    aside = preview_jobs.render(reference=preview_jobs.COUPLE, num_frames=SPEAKING)
    openings = [
        np.ptp([preview_jobs.mouth_opening(preview_jobs.find_face(frame)) for frame in frames[::3]])
        for frames in (front, aside)
    ]
    assert 0.2 * openings[0] < openings[1] < 0.85 * openings[0]


def test_two_painted_people_both_speak() -> None:
    job = replace(JOB, reference=preview_jobs.COUPLE, speech=JOB.speech * 2)
    frames = preview_jobs.render(job, speaking_order=SpeakingOrder.TOGETHER, num_frames=SPEAKING)
    openings = []
    for frame in frames[::3]:
        faces = sorted(preview_jobs.finder().find(frame, enough=2), key=lambda face: face.centre[0])
        openings.append([preview_jobs.mouth_opening(face) for face in faces])
    assert (np.ptp(openings, axis=0) > 0.01).all()


def teeth(tmp_path: Path, light: tuple[float, float, float]) -> np.ndarray:
    """RGB of the brightest part of the open mouth of the drawing, seen in this light (BGR)."""
    picture = (preview_jobs.drawing() * np.array(light)).astype(np.uint8)
    reference = preview_jobs.write_picture(tmp_path / "lit.png", picture)
    frames = preview_jobs.render(reference=reference, num_frames=SPEAKING)
    faces = [preview_jobs.find_face(frame) for frame in frames]
    widest = int(np.argmax([preview_jobs.mouth_opening(face) for face in faces]))
    outline = faces[widest].points[[82, 13, 312, 317, 14, 87], :2].astype(np.int32)
    inside = cv2.fillPoly(np.zeros(frames.shape[1:3], np.uint8), [outline], 1) > 0
    pixels = frames[widest][inside].astype(float)
    return pixels[pixels.mean(1) >= np.percentile(pixels.mean(1), 90)].mean(0)


def test_teeth_take_the_light_that_falls_on_the_face(tmp_path: Path) -> None:
    day, dusk, candle = (
        teeth(tmp_path, light) for light in ((1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (0.5, 0.75, 1.0))
    )
    assert dusk.mean() < 0.7 * day.mean()
    assert candle[0] / candle[2] > 1.1 * day[0] / day[2]
