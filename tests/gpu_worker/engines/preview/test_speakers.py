"""Who speaks: the faces of a picture, and which of them is which speaker."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from gpu_worker.contract.spec import ReferenceKind, SpeakerBox, SpeakingOrder
from gpu_worker.contract.windows import FPS
from gpu_worker.engines.base import EngineJob, RenderError
from tests.gpu_worker import preview_jobs
from tests.gpu_worker.preview_jobs import JOB

LEFT, RIGHT = SpeakerBox(0.0, 0.0, 0.5, 1.0), SpeakerBox(0.5, 0.0, 0.5, 1.0)
SECONDS = 1.2


@pytest.fixture
def duo(tmp_path: Path) -> EngineJob:
    """Two faces; each speaker talks for 1.2 s."""
    speech = tuple(
        preview_jobs.write_speech(tmp_path / f"{start}.wav", SECONDS, start=start) for start in (1.0, 4.0)
    )
    return replace(
        JOB,
        reference=preview_jobs.write_two_faces(tmp_path / "two.png"),
        speech=speech,
        speaking_order=SpeakingOrder.FIRST_THEN_SECOND,
        num_frames=round(2 * SECONDS * FPS),
    )


def movement(frames: np.ndarray) -> dict[str, float]:
    """How much the mouth of the left and of the right face opens and closes."""
    openings = []
    for frame in frames[::4]:
        faces = sorted(preview_jobs.finder().find(frame, enough=2), key=lambda face: face.centre[0])
        openings.append([preview_jobs.mouth_opening(face) for face in faces])
    return dict(zip(("left", "right"), np.std(openings, axis=0), strict=True))


@pytest.mark.parametrize(
    ("order", "boxes", "first", "second"),
    [
        (SpeakingOrder.FIRST_THEN_SECOND, (), "left", "right"),
        (SpeakingOrder.SECOND_THEN_FIRST, (), "right", "left"),
        (SpeakingOrder.FIRST_THEN_SECOND, (RIGHT, LEFT), "right", "left"),
    ],
)
def test_two_speakers_move_in_their_turn(duo, order, boxes, first, second) -> None:
    frames = preview_jobs.render(duo, speaking_order=order, speaker_boxes=boxes)
    early, late = movement(frames[: len(frames) // 2]), movement(frames[len(frames) // 2 :])
    assert early[first] > 4 * early[second]
    assert late[second] > 4 * late[first]


def test_two_speakers_move_together(duo) -> None:
    half = duo.num_frames // 2
    frames = preview_jobs.render(duo, speaking_order=SpeakingOrder.TOGETHER, num_frames=half)
    assert min(movement(frames).values()) > 0.01


def test_a_box_chooses_the_only_speaker(duo) -> None:
    moved = movement(preview_jobs.render(duo, speech=duo.speech[:1], speaker_boxes=(RIGHT,)))
    assert moved["right"] > 4 * moved["left"]


def cat() -> np.ndarray:
    """A cat as a child draws it."""
    picture = np.full((600, 600, 3), 230, np.uint8)
    cv2.circle(picture, (300, 320), 180, (90, 130, 170), -1)
    for side in (-1, 1):
        ear = np.array([(300 + side * 170, 90), (300 + side * 60, 165), (300 + side * 170, 260)])
        cv2.fillPoly(picture, [ear], (90, 130, 170))
        cv2.ellipse(picture, (300 + side * 75, 290), (38, 30), 0, 0, 360, (120, 220, 160), -1)
        cv2.ellipse(picture, (300 + side * 75, 290), (8, 28), 0, 0, 360, (10, 10, 10), -1)
        for slope in (-20, 0, 20):
            cv2.line(picture, (300 + side * 40, 390), (300 + side * 220, 390 + slope), (250, 250, 250), 3)
    cv2.fillPoly(picture, [np.array([(280, 360), (320, 360), (300, 382)])], (120, 110, 200))
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.full((400, 600, 3), 128, np.uint8), id="blank"),
        pytest.param(np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8), id="noise"),
        pytest.param(cat(), id="cat"),
        pytest.param(preview_jobs.drawing()[790:], id="shoulders"),
    ],
)
def test_a_picture_without_a_face_is_refused(tmp_path, picture) -> None:
    with pytest.raises(RenderError) as refused:
        preview_jobs.render(reference=preview_jobs.write_picture(tmp_path / "p.png", picture))
    assert refused.value.code == "face_not_found"
    assert "No face" in refused.value.detail


def test_one_face_is_too_few_for_two_speakers() -> None:
    with pytest.raises(RenderError) as refused:
        preview_jobs.render(speech=JOB.speech * 2)
    assert refused.value.code == "face_not_found"
    assert "2 must be seen" in refused.value.detail


def test_a_small_face_in_a_large_picture_speaks(tmp_path) -> None:
    picture = np.full((1080, 1920, 3), 190, np.uint8)
    picture[670:930, 1470:1730] = cv2.resize(preview_jobs.drawing(), (260, 260), interpolation=cv2.INTER_AREA)
    frames = preview_jobs.render(reference=preview_jobs.write_picture(tmp_path / "p.png", picture))
    moved = np.argwhere(np.ptp(frames, axis=0).max(-1) > 20).mean(0) / frames.shape[1:3]
    assert moved == pytest.approx([800 / 1080, 1600 / 1920], abs=0.05)


def test_the_lips_of_a_video_follow_the_new_speech_and_its_last_picture_goes_on(tmp_path) -> None:
    picture = preview_jobs.drawing()[60:900, 120:960]
    still, moved = [np.roll(picture, shift, 1) for shift in (0, 60)]
    video = preview_jobs.write_video(tmp_path / "v.mp4", [still] * 6 + [moved] * 2)
    frames = preview_jobs.render(reference=video, reference_kind=ReferenceKind.VIDEO, num_frames=30)
    faces = [preview_jobs.find_face(frame) for frame in frames]
    places = np.array([face.centre[0] for face in faces])
    assert np.argmax(np.diff(places)) == 5
    assert np.ptp(places[6:]) < 4
    assert np.ptp([preview_jobs.mouth_opening(face) for face in faces[8:]]) > 0.03


def test_a_video_may_begin_without_a_face(tmp_path) -> None:
    face, black = preview_jobs.drawing()[60:900, 120:960], np.zeros((840, 840, 3), np.uint8)
    video = preview_jobs.write_video(tmp_path / "v.mp4", [black] * 13 + [face] * 13)
    frames = preview_jobs.render(reference=video, reference_kind=ReferenceKind.VIDEO, num_frames=20)
    assert not preview_jobs.finder().find(frames[0], enough=1)
    assert preview_jobs.finder().find(frames[19], enough=1)


def test_a_video_without_a_face_is_refused(tmp_path) -> None:
    video = preview_jobs.write_video(tmp_path / "v.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 30)
    with pytest.raises(RenderError) as refused:
        preview_jobs.render(reference=video, reference_kind=ReferenceKind.VIDEO)
    assert refused.value.code == "face_not_found"
