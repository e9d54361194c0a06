"""What is before the camera: a still picture whose faces speak, or a video whose lips do."""

from collections.abc import Sequence
from itertools import islice
from typing import Protocol

import cv2

from gpu_worker.contract.spec import ReferenceKind
from gpu_worker.contract.windows import FPS
from gpu_worker.engines.base import EngineJob, RenderError
from gpu_worker.engines.preview.acting import Acting
from gpu_worker.engines.preview.arrays import Picture
from gpu_worker.engines.preview.casting import cast, follow
from gpu_worker.engines.preview.face import Face, FaceFinder
from gpu_worker.engines.preview.framing import boxes_within, cut, fit, fit_face, frame_size
from gpu_worker.engines.preview.mark import Mark
from gpu_worker.engines.preview.puppet import Puppet
from gpu_worker.engines.preview.shapes import Rig
from gpu_worker.engines.preview.sway import Sway
from gpu_worker.engines.preview.video import Reel, pictures

CASTING_STEP = FPS // 2
"""The speakers of a video are looked for twice a second, until they are all seen."""


class Scene(Protocol):
    """Draws the frames of one video."""

    width: int
    height: int

    def draw(self, frame: int, actors: Sequence[Acting], out: Picture) -> None:
        """Write a frame of the video to `out`; frames are asked for in rising order."""
        ...


def open_scene(job: EngineJob, finder: FaceFinder) -> Scene:
    """Read the reference and find the speakers in it.

    Raises:
        RenderError: `face_not_found`.
    """
    if job.reference_kind is ReferenceKind.VIDEO:
        return VideoScene(job, finder)
    return StillScene(job, finder)


class StillScene:
    """A picture; its faces speak, blink and sway."""

    def __init__(self, job: EngineJob, finder: FaceFinder) -> None:
        original = cut(cv2.cvtColor(cv2.imread(str(job.reference)), cv2.COLOR_BGR2RGB), job.crop)
        size = frame_size(original.shape[1], original.shape[0], job.resolution)
        found = finder.find(original)
        everybody = [fit_face(face, original, size) for face in found]
        faces = [fit_face(face, original, size) for face in _cast(found, original, job)]
        self.width, self.height = size
        self._picture = fit(original, size)
        self._puppets = [Puppet(self._picture, face, Rig.of(face.points)) for face in faces]
        self._sways = [Sway(self._picture, face) for face in faces]
        self._mark = Mark.of(size, everybody)

    def draw(self, frame: int, actors: Sequence[Acting], out: Picture) -> None:
        """Write a frame of the video to `out`."""
        canvas = self._picture.copy()
        for puppet, actor in zip(self._puppets, actors, strict=True):
            puppet.draw(canvas, actor.expression(frame))
        for sway, actor in zip(self._sways, actors, strict=True):
            sway.turn(canvas, actor.turns[frame])
        self._mark.apply(canvas, out)


class VideoScene:
    """A video; its faces move as they did, only the lips follow the new speech.

    The faces are measured afresh in each picture, so nothing is carried from frame to frame. A
    picture in which not all speakers are seen stays as it is, and past the video's end its last
    picture goes on speaking.
    """

    def __init__(self, job: EngineJob, finder: FaceFinder) -> None:
        self._finder = finder
        self._reel, self._crop = Reel(job.reference), job.crop
        self._source = self._reel.at(0)
        shown = cut(self._source, self._crop)
        self.width, self.height = frame_size(shown.shape[1], shown.shape[0], job.resolution)
        size = self.width, self.height
        self._cast = [fit_face(face, shown, size) for face in _cast_video(job, finder)]
        self._rigs = [Rig.of(face.points) for face in self._cast]
        self._placed_mark = Mark.of(size, self._cast)
        self._set_picture(self._source)

    def draw(self, frame: int, actors: Sequence[Acting], out: Picture) -> None:
        """Write a frame of the video to `out`; frames are asked for in rising order."""
        source = self._reel.at(frame)
        if source is not self._source:
            self._set_picture(source)
        canvas = self._picture.copy()
        for puppet, actor in zip(self._puppets, actors, strict=False):
            puppet.draw(canvas, actor.expression(frame).lips_only())
        self._mark.apply(canvas, out)

    def _set_picture(self, source: Picture) -> None:
        self._source = source
        self._picture = fit(cut(source, self._crop), (self.width, self.height))
        found = self._finder.find(self._picture, enough=len(self._cast))
        self._mark = self._placed_mark.sparing(found)
        faces = follow(found, self._cast)
        pairs = zip(faces, self._rigs, strict=True) if faces else ()
        self._puppets = [Puppet(self._picture, face, rig) for face, rig in pairs]


def _cast(faces: Sequence[Face], picture: Picture, job: EngineJob) -> tuple[Face, ...]:
    size = picture.shape[1], picture.shape[0]
    return cast(faces, boxes_within(job.speaker_boxes, job.crop), len(job.speech), size)


def _cast_video(job: EngineJob, finder: FaceFinder) -> tuple[Face, ...]:
    """The speakers' faces in the first picture that shows them all.

    Raises:
        RenderError: `face_not_found`: none does.
    """
    error: RenderError | None = None
    for whole in islice(pictures(job.reference), 0, None, CASTING_STEP):
        picture = cut(whole, job.crop)
        try:
            return _cast(finder.find(picture), picture, job)
        except RenderError as missing:
            error = error or missing
    assert error is not None, "a normalised video has a picture"
    raise error
