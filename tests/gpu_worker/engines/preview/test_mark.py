"""How a preview is marked: beside the faces, and so that the word stays when an edge is cut off."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from gpu_worker.contract.spec import ReferenceKind
from gpu_worker.engines.preview import Face
from gpu_worker.engines.preview.mark import Mark
from tests.gpu_worker import preview_jobs

CHANGED = 12
EYES_MOUTH_CHEEKS = [33, 133, 159, 145, 263, 362, 386, 374, 61, 291, 0, 17, 50, 280, 205, 425, 116, 345, 1]
KEPT = 0.75


def portrait() -> np.ndarray:
    return cv2.imread(str(preview_jobs.PORTRAIT))


def tight_crop() -> np.ndarray:
    """Hardly more than the face."""
    return cv2.resize(portrait()[130:540, 190:600], (720, 720), interpolation=cv2.INTER_CUBIC)


PICTURES = {
    "portrait": portrait,
    "couple": lambda: cv2.imread(str(preview_jobs.COUPLE)),
    "drawing": preview_jobs.drawing,
    "lying": lambda: np.ascontiguousarray(np.rot90(preview_jobs.drawing())),
    "upside down": lambda: np.ascontiguousarray(preview_jobs.drawing()[::-1, ::-1]),
    "tight": tight_crop,
    "face at the foot": lambda: preview_jobs.drawing()[:800],
    "wide": lambda: cv2.copyMakeBorder(preview_jobs.drawing(), 0, 0, 900, 0, cv2.BORDER_REPLICATE),
}


def marked(picture: np.ndarray) -> tuple[Mark, list[Face]]:
    faces = preview_jobs.finder().find(picture[..., ::-1].copy())
    assert faces
    return Mark.of(picture.shape[1::-1], faces), faces


def changes(mark: Mark) -> np.ndarray:
    """Where the mark is seen on mid-grey, [height, width]."""
    grey = np.full(mark.light.shape, 128, np.uint8)
    out = np.empty_like(grey)
    mark.apply(grey, out)
    return np.abs(out.astype(int) - 128).max(-1) > CHANGED


def letters(mark: Mark) -> int:
    """Large light shapes in what remains when the lower quarter is cut off."""
    light = (mark.light[: int(len(mark.light) * KEPT), :, 0] > CHANGED).astype(np.uint8)
    sizes = cv2.connectedComponentsWithStats(light)[2][1:, cv2.CC_STAT_AREA]
    return int((sizes > sizes.max() * 0.2).sum())


@pytest.mark.parametrize("name", PICTURES)
def test_the_mark_is_never_on_eyes_mouth_or_cheeks(name: str) -> None:
    picture = PICTURES[name]()
    mark, faces = marked(picture)
    changed = changes(mark)
    for face in faces:
        outline = cv2.convexHull(face.points[EYES_MOUTH_CHEEKS, :2].astype(np.float32)).astype(np.int32)
        inside = cv2.fillPoly(np.zeros(changed.shape, np.uint8), [outline], 1) > 0
        assert not (changed & inside).any()


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"tight"}))
def test_the_whole_word_remains_when_the_lower_quarter_is_cut_off(name: str) -> None:
    mark, _ = marked(PICTURES[name]())
    assert letters(mark) == len("PREVIEW")


def test_a_tight_crop_of_a_face_is_still_marked_above_its_lower_quarter() -> None:
    mark, _ = marked(tight_crop())
    assert changes(mark)[: int(720 * KEPT)].mean() > 0.01


def test_a_band_runs_along_the_foot() -> None:
    mark, _ = marked(portrait())
    assert changes(mark)[-10:].all()


def test_the_band_is_at_the_head_where_a_face_reaches_the_foot() -> None:
    picture = PICTURES["face at the foot"]()
    mark, _ = marked(picture)
    assert changes(mark)[:10].all()
    assert not changes(mark)[-10:].all()


def test_every_frame_is_marked_at_the_same_place() -> None:
    frames = preview_jobs.render(num_frames=30)
    foot = frames[:, -20:]
    assert np.array_equal(foot.min(0), foot.max(0))


def test_the_mark_gives_way_to_a_face_that_moves(tmp_path: Path) -> None:
    face, width = cv2.resize(preview_jobs.drawing(), (540, 540), interpolation=cv2.INTER_AREA), 960
    places = [0, width - 540]
    pictures = []
    for left in places:
        picture = np.full((540, width, 3), 128, np.uint8)
        picture[:, left : left + 540] = face
        pictures.append(picture)
    video = preview_jobs.write_video(tmp_path / "v.mp4", [pictures[0]] * 3 + [pictures[1]] * 3)
    frames = preview_jobs.render(reference=video, reference_kind=ReferenceKind.VIDEO, num_frames=6)
    for frame, picture in ((frames[0], pictures[0]), (frames[5], pictures[1])):
        plain = cv2.resize(picture, frame.shape[1::-1], interpolation=cv2.INTER_AREA)[..., ::-1]
        points = preview_jobs.find_face(frame).points[:, :2]
        eyes = points[[33, 133, 159, 145, 263, 362, 386, 374]]
        (x0, y0), (x1, y1) = eyes.min(0).astype(int), eyes.max(0).astype(int)
        difference = np.abs(frame[y0:y1, x0:x1].astype(int) - plain[y0:y1, x0:x1]).max(-1)
        assert np.median(difference) < CHANGED
