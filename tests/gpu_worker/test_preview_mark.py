"""The word PREVIEW stays in whatever part of a frame someone cuts out."""

import cv2
import numpy as np

from gpu_worker.contract.spec import ReferenceKind
from gpu_worker.engines.preview import mark
from tests.gpu_worker import preview_jobs

CHANGED = 12


def unmarked(shape: tuple[int, ...]) -> np.ndarray:
    size = shape[1], shape[0]
    return cv2.resize(preview_jobs.portrait(), size, interpolation=cv2.INTER_AREA)[..., ::-1]


def shows_the_word(crop: np.ndarray) -> bool:
    """Whether the badge's letters stand in the crop, at some size."""
    light = (crop.min(-1) > 190).astype(np.uint8) * 255
    best = 0.0
    for size in np.arange(0.5, 2, 0.05):
        (width, height), _ = cv2.getTextSize(mark.TEXT, mark.FONT, size, max(1, round(2 * size)))
        if width + 4 > crop.shape[1]:
            break
        word = np.zeros((height + 4, width + 4), np.uint8)
        cv2.putText(word, mark.TEXT, (2, height + 2), mark.FONT, size, 255, max(1, round(2 * size)))
        best = max(best, cv2.matchTemplate(light, word, cv2.TM_CCOEFF_NORMED).max())
    return best > 0.6


def test_a_crop_to_the_faces_surroundings_shows_the_word() -> None:
    frame = preview_jobs.render(num_frames=1)[0]
    points = preview_jobs.find_face(frame).points[:, :2]
    margin = 0.25 * np.ptp(points, axis=0)
    (x0, y0), (x1, y1) = (points.min(0) - margin).astype(int), (points.max(0) + margin).astype(int)
    assert shows_the_word(frame[y0:y1, x0:x1])
    assert not shows_the_word(unmarked(frame.shape)[y0:y1, x0:x1])


def test_the_mark_crosses_the_face_itself() -> None:
    frame = preview_jobs.render(num_frames=1)[0]
    points = preview_jobs.find_face(frame).points[:, :2]
    (x0, y0), (x1, _) = points.min(0).astype(int), points.max(0).astype(int)
    above_the_mouth = slice(y0, int(points[13, 1])), slice(x0, x1)
    change = np.abs(frame[above_the_mouth].astype(int) - unmarked(frame.shape)[above_the_mouth])
    assert (change.max(-1) > CHANGED).mean() > 0.05


def test_every_frame_is_marked_at_the_same_place() -> None:
    frames = preview_jobs.render(num_frames=30)
    corner = frames[:, :120, :120]
    assert np.array_equal(corner.min(0), corner.max(0))
    assert (np.abs(corner[0].astype(int) - unmarked(frames.shape[1:])[:120, :120]).max(-1) > CHANGED).any()


def test_no_third_of_a_video_is_without_the_mark(tmp_path) -> None:
    picture = preview_jobs.portrait()[:720]
    video = preview_jobs.write_video(tmp_path / "v.mp4", [picture] * 2)
    frame = preview_jobs.render(reference=video, reference_kind=ReferenceKind.VIDEO, num_frames=1)[0]
    height, width = frame.shape[:2]
    plain = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1]
    changed = np.abs(frame.astype(int) - plain).max(-1) > CHANGED
    side_y, side_x = height // 3, width // 3
    for y in range(0, height - side_y + 1, side_y // 2):
        for x in range(0, width - side_x + 1, side_x // 2):
            assert changed[y : y + side_y, x : x + side_x].mean() > 0.01
