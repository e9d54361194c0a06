"""Find faces and their landmarks: MediaPipe's two networks, run by OpenCV.

BlazeFace (Bazarevsky et al., 2019) finds boxes; the face mesh network (Kartynnik et al., 2019)
then places 478 landmarks in an upright crop of each box. The mesh network is sure of a face in much
that is none, so a second look is taken from other angles: on a face the landmarks stay where they are.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from gpu_worker.engines.preview.arrays import Floats, Picture
from gpu_worker.engines.preview.model_files import model_path

DETECTOR_SIDE = 128
MESH_SIDE = 256
NUM_LANDMARKS = 478
CROP_MARGIN = 1.5
DETECTOR_SCORE = 0.6
MESH_CONFIDENCE = 0.97
HOPELESS = 0.1
"""On a face the mesh network says 0.9 and more, also while its crop is only rough."""
NEARBY = 0.25
"""Boxes whose centres are closer than this share of their side show the same thing."""
LARGE = 0.3
"""Of the shorter side: beside such a face those that only the finest search finds are background."""
SEARCH_SIDE = 1920
"""Larger pictures are searched at this size: the crops of the mesh network would alias otherwise."""

SECOND_LOOKS = np.radians((20, -20))
MAX_DRIFT = 0.08
"""Faces drift by 0.01 to 0.05 of their side between the looks, clouds and vases by 0.1 and more."""
STEADY_DRIFT = 0.045
"""Where nothing drifts less, the picture may be upside down."""

RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
RIGHT_SIDE, LEFT_SIDE = 234, 454


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        points: Landmarks [478, 3] in pixels: x to the right, y downwards, z away from the viewer.
    """

    points: npt.NDArray[np.float64]

    @property
    def yaw(self) -> float:
        """Degrees, from 0 to 90, that the head is turned away from the viewer."""
        across = self.points[LEFT_SIDE] - self.points[RIGHT_SIDE]
        return float(np.degrees(np.arctan2(abs(across[2]), np.linalg.norm(across[:2]))))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the landmarks, in pixels."""
        (left, top), (right, bottom) = self.points[:, :2].min(0), self.points[:, :2].max(0)
        return float(left), float(top), float(right), float(bottom)

    @property
    def centre(self) -> Floats:
        return self.points[:, :2].mean(0)

    @property
    def side(self) -> float:
        """Of a square as large as the face."""
        return self.area**0.5

    @property
    def area(self) -> float:
        """Pixels of the upright box around the landmarks."""
        width, height = np.ptp(self.points[:, :2], axis=0)
        return float(width * height)

    def scaled(self, x: float, y: float) -> Self:
        """The same face in the picture resized by these factors."""
        return type(self)(self.points * (x, y, (x + y) / 2))

    def turned(self, size: tuple[int, int]) -> Self:
        """The same face in the picture, of this width and height, turned by half a circle."""
        return type(self)(self.points * (-1, -1, 1) + (size[0] - 1, size[1] - 1, 0))


@dataclass(frozen=True)
class _Square:
    """A square of the picture, turned by `roll` radians, in pixels."""

    centre: Floats
    side: float
    roll: float


class FaceFinder:
    """Finds faces; holds its networks, so keep one per process. Not thread-safe."""

    def __init__(self) -> None:
        self._detector = _network("face_detector.tflite")
        self._mesher = _network("face_landmarks_detector.tflite")

    def find(self, picture: Picture, enough: int | None = None, *, background: bool = True) -> list[Face]:
        """The faces of the picture, largest first; upside down ones too, if there are no others.

        Args:
            picture: Of any size.
            enough: Don't search for smaller faces once this many are found, and trust the first look:
                for further pictures of a video. None: find them all, and look twice at each.
            background: Search for the smallest faces also where there is a large one.
        """
        height, width = picture.shape[:2]
        shrink = min(1.0, SEARCH_SIDE / max(height, width))
        if shrink < 1:
            picture = _resized(picture, round(width * shrink), round(height * shrink))
        scale = width / picture.shape[1], height / picture.shape[0]
        if enough is not None:
            faces = self._search(picture, enough)
        else:
            faces = self._search_twice(picture, background=background)
        return sorted((face.scaled(*scale) for face in faces), key=lambda face: -face.area)

    def _search(self, picture: Picture, enough: int | None, *, background: bool = True) -> list[Face]:
        """Search level by level: the whole picture, its large tiles, its small tiles."""
        faces: list[Face] = []
        others: list[_Square] = []
        large = LARGE * min(picture.shape[:2])
        for tiles in _levels(picture):
            boxes = [found for x, y, side in tiles for found in self._detect(picture, x, y, side)]
            for _, box in sorted(boxes, key=lambda found: -found[0]):
                if any(_same(face, box) for face in faces) or any(_nearby(other, box) for other in others):
                    continue
                face, confidence = self._measure(picture, box)
                if confidence > MESH_CONFIDENCE:
                    faces.append(face)
                elif confidence < HOPELESS:
                    others.append(box)
            if enough is not None and len(faces) >= enough:
                break
            if not background and any(face.side > large for face in faces):
                break
        return faces

    def _search_twice(self, picture: Picture, *, background: bool) -> list[Face]:
        """The faces that a second look confirms, the steadiest of those that overlap."""
        found = [
            (self._drift(picture, face), face) for face in self._search(picture, None, background=background)
        ]
        if not any(drift < STEADY_DRIFT for drift, _ in found):
            turned = np.ascontiguousarray(picture[::-1, ::-1])
            upside_down = [(self._drift(turned, face), face) for face in self._search(turned, None)]
            found += [(drift, face.turned(picture.shape[1::-1])) for drift, face in upside_down]
        faces: list[Face] = []
        for drift, face in sorted(found, key=lambda item: item[0]):
            if drift < MAX_DRIFT and not any(_overlap(face, other) for other in faces):
                faces.append(face)
        return faces

    def _drift(self, picture: Picture, face: Face) -> float:
        """How far the landmarks move on average, in sides of the face, when the crop is turned."""
        square = _frame(face)
        looks = [
            self._landmarks(picture, _Square(square.centre, square.side, square.roll + turn))[0]
            for turn in SECOND_LOOKS
        ]
        moves = [np.linalg.norm((look.points - face.points)[:, :2], axis=1).mean() for look in looks]
        return float(np.mean(moves)) / face.side

    def _detect(self, picture: Picture, x: int, y: int, side: int) -> list[tuple[float, _Square]]:
        """Scored boxes in the square tile whose top left is (x, y)."""
        shift = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
        tile = _resized(cv2.warpAffine(picture, shift, (side, side)), DETECTOR_SIDE, DETECTOR_SIDE)
        self._detector.setInput(cv2.dnn.blobFromImage(tile, 1 / 127.5, mean=(127.5, 127.5, 127.5)))
        regressors, logits = self._detector.forward(["regressors", "classificators"])
        scores = _sigmoid(logits.ravel())
        keep = scores > DETECTOR_SCORE
        # A box is its centre, its size and six key points (the eyes first), all relative to its anchor.
        boxes = regressors.reshape(-1, 8, 2)[keep].astype(float) / DETECTOR_SIDE
        boxes[:, 0] += _ANCHORS[keep]
        boxes[:, 2:] += _ANCHORS[keep][:, None]
        return [
            (float(score), _Square(box[0] * side + (x, y), float(box[1].max() * side), _roll(box[2], box[3])))
            for score, box in zip(scores[keep], boxes, strict=True)
        ]

    def _measure(self, picture: Picture, box: _Square) -> tuple[Face, float]:
        """Landmarks and the network's confidence, from 0 to 1, that they are those of a face.

        The landmarks of a first pass frame the face better than the detector's box does.
        """
        rough, confidence = self._landmarks(picture, _Square(box.centre, box.side * CROP_MARGIN, box.roll))
        if confidence < HOPELESS:
            return rough, confidence
        return self._landmarks(picture, _frame(rough))

    def _landmarks(self, picture: Picture, square: _Square) -> tuple[Face, float]:
        scale = MESH_SIDE / square.side
        centre = float(square.centre[0]), float(square.centre[1])
        to_crop = cv2.getRotationMatrix2D(centre, np.degrees(square.roll), scale)
        to_crop[:, 2] += MESH_SIDE / 2 - square.centre
        crop = cv2.warpAffine(picture, to_crop, (MESH_SIDE, MESH_SIDE))
        self._mesher.setInput(cv2.dnn.blobFromImage(crop, 1 / 255))
        output, logit = self._mesher.forward(["Identity", "Identity_1"])
        points = output.reshape(NUM_LANDMARKS, 3).astype(float)
        back = cv2.invertAffineTransform(to_crop)
        flat = points[:, :2] @ back[:, :2].T + back[:, 2]
        return Face(np.column_stack([flat, points[:, 2] / scale])), float(_sigmoid(logit.ravel())[0])


def _network(name: str) -> cv2.dnn.Net:
    # OpenCV 5's new engine returns only one output of a TFLite graph; the classic one returns all,
    # and is taken only for a model that is read from a file.
    return cv2.dnn.readNetFromTFLite(str(model_path(name)), engine=cv2.dnn.ENGINE_CLASSIC)


def _anchors() -> Floats:
    """Centres [896, 2] of BlazeFace's short-range anchors: 16 × 16 cells with 2 each, 8 × 8 with 6."""
    layers = []
    for cells, anchors in ((16, 2), (8, 6)):
        line = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
        layers.append(np.repeat(grid, anchors, axis=0))
    return np.concatenate(layers)


_ANCHORS = _anchors()


def _levels(picture: Picture) -> list[list[tuple[int, int, int]]]:
    """Squares (x, y, side) to search, coarse to fine: the whole picture, then overlapping tiles of it."""
    height, width = picture.shape[:2]
    long, short = max(height, width), min(height, width)
    whole = [((width - long) // 2, (height - long) // 2, long)]
    return [whole, _tiles(width, height, short), _tiles(width, height, short // 2)]


def _tiles(width: int, height: int, side: int) -> list[tuple[int, int, int]]:
    """Squares that cover the picture, each overlapping the next by half."""
    return [(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    count = max(1, round(2 * length / side) - 1)
    return [int(start) for start in np.linspace(0, length - side, count)]


def _same(face: Face, box: _Square) -> bool:
    return bool(np.linalg.norm(face.centre - box.centre) < max(box.side, face.side) / 2)


def _nearby(one: _Square, other: _Square) -> bool:
    return bool(np.linalg.norm(one.centre - other.centre) < NEARBY * min(one.side, other.side))


def _overlap(one: Face, other: Face) -> bool:
    return bool(np.linalg.norm(one.centre - other.centre) < max(one.side, other.side) / 2)


def _frame(face: Face) -> _Square:
    """The square around a face, turned as its eyes are."""
    roll = _roll(face.points[RIGHT_EYE_OUTER, :2], face.points[LEFT_EYE_OUTER, :2])
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    upright = face.points[:, :2] @ turn
    low, high = upright.min(0), upright.max(0)
    return _Square(turn @ ((low + high) / 2), float((high - low).max() * CROP_MARGIN), roll)


def _roll(right_eye: Floats, left_eye: Floats) -> float:
    x, y = left_eye - right_eye
    return float(np.arctan2(y, x))


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def _resized(picture: Picture, width: int, height: int) -> Picture:
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
