"""What is before the camera: a still picture whose faces speak."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import cv2

from gpu_worker.contract.presets import Resolution
from gpu_worker.engines.base import EngineJob
from gpu_worker.engines.preview.acting import Acting
from gpu_worker.engines.preview.arrays import Picture
from gpu_worker.engines.preview.casting import cast
from gpu_worker.engines.preview.face import Face, FaceFinder
from gpu_worker.engines.preview.mark import Mark
from gpu_worker.engines.preview.puppet import Puppet
from gpu_worker.engines.preview.shapes import Rig
from gpu_worker.engines.preview.sway import Sway

AREAS = {Resolution.P480: 832 * 480, Resolution.P720: 1280 * 720}
"""Pixels of a frame."""


def frame_size(width: int, height: int, resolution: Resolution) -> tuple[int, int]:
    """Width and height of the video: the resolution's area in the picture's shape, both even for H.264."""
    scale = sqrt(AREAS[resolution] / (width * height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def fit(picture: Picture, size: tuple[int, int]) -> Picture:
    shrinks = size[0] < picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def fit_face(face: Face, picture: Picture, size: tuple[int, int]) -> Face:
    """The face of `picture` in the picture that `fit` makes of it."""
    return face.scaled(size[0] / picture.shape[1], size[1] / picture.shape[0])


class StillScene:
    """A picture; its faces speak, blink and sway."""

    def __init__(self, picture: Picture, faces: Sequence[Face]) -> None:
        """Prepare the scene.

        Args:
            picture: In the video's size.
            faces: One for each speaker.
        """
        self.height, self.width = picture.shape[:2]
        self._picture = picture
        self._puppets = [Puppet(picture, face, Rig.of(face.points)) for face in faces]
        self._sways = [Sway(picture, face) for face in faces]
        self._mark = Mark((self.width, self.height), tuple(faces))

    def draw(self, frame: int, actors: Sequence[Acting], out: Picture) -> None:
        """Write a frame of the video to `out`."""
        canvas = self._picture.copy()
        for puppet, actor in zip(self._puppets, actors, strict=True):
            puppet.draw(canvas, actor.expression(frame))
        for sway, actor in zip(self._sways, actors, strict=True):
            sway.turn(canvas, actor.turns[frame])
        self._mark.apply(canvas, out)


Scene = StillScene


def open_scene(job: EngineJob, finder: FaceFinder) -> Scene:
    """Read the reference and find the speakers in it.

    Raises:
        RenderError: `face_not_found`.
    """
    picture = _read_picture(job.reference)
    size = picture.shape[1], picture.shape[0]
    faces = cast(finder.find(picture), job.speaker_boxes, len(job.speech), size)
    video_size = frame_size(*size, job.resolution)
    return StillScene(fit(picture, video_size), [fit_face(face, picture, video_size) for face in faces])


def _read_picture(path: Path) -> Picture:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
