"""What a speaker's face and head do in each frame: a function of speech, seed and frame index alone."""

from dataclasses import dataclass

import numpy as np

from gpu_worker.contract.windows import FPS
from gpu_worker.engines.preview.arrays import Floats
from gpu_worker.engines.preview.speech import MouthCurves

OPENING = 0.085
"""The widest opening, in face heights."""
WIDENING, ROUNDING = 0.28, 0.45
BROW_LIFT = 0.8
BLINK_SECONDS = 0.11
BLINK_PAUSE = 2.2, 4.8

# Each motion wanders as a sum of sines whose periods (seconds) never fall together.
YAW_PERIODS, PITCH_PERIODS, ROLL_PERIODS = (3.1, 4.7, 7.3), (2.6, 4.1, 6.7), (3.7, 5.9, 8.3)
YAW, PITCH, ROLL, NOD = 0.09, 0.03, 0.02, 0.08


@dataclass(frozen=True)
class Expression:
    """A face in one frame.

    Attributes:
        opening: Of the mouth, in face heights.
        spread: Of the lips, below 0 when rounded.
        blink: 0 (eyes as in the picture) to 1 (closed).
        brow: 0 to 1.
    """

    opening: float
    spread: float
    blink: float = 0.0
    brow: float = 0.0

    def lips_only(self) -> "Expression":
        """The same mouth in a face whose eyes and brows already live."""
        return Expression(self.opening, self.spread)

    def fainter(self, share: float) -> "Expression":
        """This share of the movement."""
        return Expression(self.opening * share, self.spread * share, self.blink * share, self.brow * share)


@dataclass(frozen=True)
class Acting:
    """A speaker's whole part.

    Attributes:
        turns: Yaw and pitch (as shares of the head's depth) and roll (radians), [num_frames, 3].
    """

    curves: MouthCurves
    blinks: Floats
    turns: Floats

    def expression(self, frame: int) -> Expression:
        spread = self.curves.spread[frame]
        return Expression(
            opening=float(self.curves.opening[frame] * OPENING),
            spread=float(spread * (WIDENING if spread > 0 else ROUNDING)),
            blink=float(self.blinks[frame]),
            brow=float(self.curves.emphasis[frame] * BROW_LIFT),
        )


def act(curves: MouthCurves, seed: int, speaker: int) -> Acting:
    """Fill out a speaker's part; two speakers of one job blink and sway each in their own way."""
    generator = np.random.default_rng([seed, speaker])
    num_frames = len(curves.opening)
    return Acting(curves, _blinks(num_frames, generator), _turns(curves.emphasis, generator))


def _blinks(num_frames: int, generator: np.random.Generator) -> Floats:
    """How far the lids are down, [num_frames]: they fall fast and rise more slowly."""
    lids = np.zeros(num_frames)
    at = 1 + generator.random()
    while at < num_frames / FPS:
        near = np.arange(max(0, int((at - 1) * FPS)), min(num_frames, int((at + 1) * FPS)))
        phase = (near / FPS - at) / BLINK_SECONDS
        lid = np.clip(1.25 - np.abs(phase) * np.where(phase < 0, 1.3, 0.8), 0, 1)
        lids[near] = np.maximum(lids[near], lid)
        at += generator.uniform(*BLINK_PAUSE)
    return lids


def _turns(emphasis: Floats, generator: np.random.Generator) -> Floats:
    """Slow wandering, and a nod with the stressed phrases."""
    seconds = np.arange(len(emphasis)) / FPS

    def wander(periods: tuple[float, ...]) -> Floats:
        waves = [np.sin(2 * np.pi * (seconds / period + generator.random())) for period in periods]
        return np.mean(waves, axis=0)

    yaw, pitch, roll = wander(YAW_PERIODS), wander(PITCH_PERIODS), wander(ROLL_PERIODS)
    nod = emphasis - emphasis.mean()
    return np.stack([yaw * YAW, pitch * PITCH + nod * NOD, roll * ROLL], axis=1)
