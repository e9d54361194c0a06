"""Blend shapes: how one face's vertices move to close and open the mouth, to stretch the lips, to blink."""

from dataclasses import dataclass

import numpy as np

from gpu_worker.engines.preview import mesh
from gpu_worker.engines.preview.acting import Expression
from gpu_worker.engines.preview.arrays import Floats, unit
from gpu_worker.engines.preview.mesh import Spreading

CLOSING_UPPER, CLOSING_LOWER = 0.25, 0.75
"""How far upper and lower lip go to meet each other, as shares of the gap between them."""
OPENING_UPPER, OPENING_LOWER, OPENING_CHIN = 0.2, 0.8, 0.64
LID_UPPER, LID_LOWER = 0.85, 0.15
EYE_REGION = 0.95
"""Radius around an eye, in eye widths, beyond which a blink moves nothing."""
BROW_LIFT = 0.03
LIPS = [(mesh.UPPER_LIP, mesh.UPPER_LIP_OUTER), (mesh.LOWER_LIP, mesh.LOWER_LIP_OUTER)]
LIP_VERTICES = [vertex for rows in LIPS for row in rows for vertex in row]
LID_VERTICES = [vertex for rows in (mesh.UPPER_LIDS, mesh.LOWER_LIDS) for row in rows for vertex in row]


@dataclass(frozen=True)
class HeadFrame:
    """The face's own axes in the picture.

    Attributes:
        height: From forehead to chin, pixels.
        right: Unit vector [3] from its right side to its left one (to the viewer's right).
        down: Unit vector [3] from forehead to chin, square to `right`.
    """

    height: float
    right: Floats
    down: Floats

    @classmethod
    def of(cls, points: Floats) -> "HeadFrame":
        axis = points[mesh.CHIN] - points[mesh.FOREHEAD]
        right = unit(points[mesh.LEFT_SIDE] - points[mesh.RIGHT_SIDE])
        return cls(float(np.linalg.norm(axis)), right, unit(axis - right * (axis @ right)))

    @property
    def down_step(self) -> Floats:
        """One face height downwards, [2], as the picture shows it."""
        return self.down[:2] * self.height

    @property
    def right_step(self) -> Floats:
        return self.right[:2] * self.height


@dataclass(frozen=True)
class Rig:
    """Which vertices a shape moves and which it holds, solved once for a head."""

    jaw: Spreading
    lids: Spreading
    brows: Spreading

    @classmethod
    def of(cls, points: Floats) -> "Rig":
        """The rig for a face of landmarks or mesh vertices [≥ 468, 3]."""
        face = points[: mesh.NUM_FACE]
        above_lips = np.flatnonzero((face - face[mesh.NOSE_BASE]) @ HeadFrame.of(points).down < 0).tolist()
        fixed = {*above_lips, *mesh.UNDER_NOSE}
        everything = set(range(mesh.NUM_VERTICES))
        around_brows = {*mesh.OVAL, *LID_VERTICES, *mesh.NOSE_BRIDGE}
        return cls(
            jaw=Spreading.between([*LIP_VERTICES, *mesh.JAW_SHARE], {*fixed, *mesh.RING}),
            lids=Spreading.between(LID_VERTICES, (everything - _near_eyes(face)) | {*mesh.BROWS}),
            brows=Spreading.between(mesh.BROWS, (everything - fixed) | around_brows),
        )


@dataclass(frozen=True)
class BlendShapes:
    """One face's shapes, in pixels of its picture.

    Attributes:
        gap: Between the lips as the picture shows them, in face heights.
        closed: All vertices [504, 2] with the mouth closed.
        open: Displacement for one face height of opening; `wide`, `blink` and `brow` for 1 each.
    """

    gap: float
    closed: Floats
    open: Floats
    wide: Floats
    blink: Floats
    brow: Floats

    @classmethod
    def of(cls, vertices: Floats, rig: Rig) -> "BlendShapes":
        """The shapes of a face whose vertices [504, 3] are these."""
        head = HeadFrame.of(vertices)
        lips = vertices[mesh.LOWER_LIP_MIDDLE] - vertices[mesh.UPPER_LIP_MIDDLE]
        gap = max(0.0, float(lips @ head.down) / head.height)
        return cls(
            gap=gap,
            closed=vertices[:, :2] + _closing(vertices, rig, head, gap),
            open=_opening(vertices, rig, head),
            wide=_widening(vertices, rig, head),
            blink=_blink(vertices, rig),
            brow=rig.brows.apply(dict.fromkeys(mesh.BROWS, -head.down_step * BROW_LIFT)),
        )

    def pose(self, expression: Expression) -> Floats:
        """All vertices [504, 2] of the face with this expression."""
        return (
            self.closed
            + self.open * expression.opening
            + self.wide * expression.spread
            + self.blink * expression.blink
            + self.brow * expression.brow
        )


def _near_eyes(face: Floats) -> set[int]:
    near: set[int] = set()
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        width = np.linalg.norm(face[upper[0]] - face[upper[-1]])
        distance = np.linalg.norm(face - face[upper + lower].mean(0), axis=1)
        near |= set(np.flatnonzero(distance < EYE_REGION * width).tolist())
    return near


def _closing(vertices: Floats, rig: Rig, head: HeadFrame, gap: float) -> Floats:
    seam = vertices[mesh.LOWER_LIP, :2] - vertices[mesh.UPPER_LIP, :2]
    return _jaw(rig, seam * CLOSING_UPPER, -seam * CLOSING_LOWER, -head.down_step * gap * 0.6)


def _opening(vertices: Floats, rig: Rig, head: HeadFrame) -> Floats:
    """The lips part most in the middle and not at all in the corners."""
    along = (vertices[mesh.UPPER_LIP] + vertices[mesh.LOWER_LIP]) @ head.right
    across = 2 * (along - along[0]) / (along[-1] - along[0]) - 1
    arch = np.clip(1 - across**2, 0, 1)[:, None] ** 0.6
    down = head.down_step
    return _jaw(rig, -down * OPENING_UPPER * arch, down * OPENING_LOWER * arch, down * OPENING_CHIN)


def _jaw(rig: Rig, upper: Floats, lower: Floats, chin: Floats) -> Floats:
    """Move the inner lip vertices by `upper` and `lower` [11, 2], the outer ones beside them likewise."""
    moves: dict[int, Floats] = {}
    for (inner, outer), steps in zip(LIPS, (upper, lower), strict=True):
        moves |= dict(zip(inner, steps, strict=True)) | dict(zip(outer, steps, strict=True))
    return rig.jaw.apply(moves | {vertex: chin * share for vertex, share in mesh.JAW_SHARE.items()})


def _widening(vertices: Floats, rig: Rig, head: HeadFrame) -> Floats:
    """The lips stretch away from their middle."""
    middle = vertices[[mesh.UPPER_LIP_MIDDLE, mesh.LOWER_LIP_MIDDLE]].mean(0)
    off_centre = (vertices - middle) @ head.right / head.height
    return rig.jaw.apply({vertex: head.right_step * off_centre[vertex] * 0.5 for vertex in LIP_VERTICES})


def _blink(vertices: Floats, rig: Rig) -> Floats:
    """The upper lid comes down nearly all the way, the lower one a little up."""
    moves: dict[int, Floats] = {}
    for upper, lower in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        way = vertices[lower, :2] - vertices[upper, :2]
        moves |= dict(zip(upper, way * LID_UPPER, strict=True))
        moves |= dict(zip(lower[1:-1], -way[1:-1] * LID_LOWER, strict=True))
    return rig.lids.apply(moves)
