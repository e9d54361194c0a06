"""How a mouth moves with speech: opening, spread and emphasis, one value for each video frame.

The first formant's energy (300–1200 Hz) follows the jaw; hiss and hum don't reach it, so that the
mouth stays closed on "s". The balance of high and low bands tells spread vowels ("ee") from round
ones ("oo").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from gpu_worker.contract.windows import FPS
from gpu_worker.engines.preview.arrays import Floats

SAMPLING_RATE = 16_000
HOPS_PER_FRAME = 4
HOPS_PER_SECOND = FPS * HOPS_PER_FRAME
HOP = SAMPLING_RATE // HOPS_PER_SECOND
SPECTRUM = 512
VOWEL_BAND, FRONT_BAND, BACK_BAND = (300, 1200), (1500, 3200), (250, 900)
LIP_SECONDS = 0.03
"""Smoothing of the opening: short enough to keep the lip closures of p, b and m."""
EMPHASIS_SECONDS = 0.25
SPEECH_RANGE = 20
"""Hops this many dB below the loud ones are still speech."""
LOUD_PERCENTILE = 94
"""Of the spoken hops: where the mouth is fully open."""


@dataclass(frozen=True)
class MouthCurves:
    """How a mouth moves, [num_frames] each.

    Attributes:
        opening: 0 (closed) to 1.
        spread: -1 (round) to 1 (wide).
        emphasis: Loudness of the phrase, 0 to 1.
    """

    opening: Floats
    spread: Floats
    emphasis: Floats


@dataclass(frozen=True)
class SpeechAnalysis:
    """Band energies of a recording, [num_hops] each, 100 a second.

    Attributes:
        vowel: Energy of the first formant, dB.
        colour: Log ratio of high to low bands.
    """

    vowel: Floats
    colour: Floats


def analyse(path: Path) -> SpeechAnalysis:
    """Read a recording once, in a few hundred kilobytes of memory whatever its length."""
    vowel, front, back = np.concatenate([_band_energies(windows) for windows in _windows(path)], axis=1)
    return SpeechAnalysis(10 * np.log10(vowel), np.log(front / back))


def mouth_curves(speech: SpeechAnalysis, start_hop: int, num_frames: int) -> MouthCurves:
    """The curves of a speaker whose speech begins `start_hop` hops into a video of `num_frames` frames."""
    level = _level(speech.vowel)
    opening = np.clip((level - 0.4) / 0.5, 0, 1) ** 1.1
    tracks = (
        _smooth(opening, LIP_SECONDS),
        _smooth(_spread(speech.colour, level), 2 * LIP_SECONDS),
        _smooth(level, EMPHASIS_SECONDS),
    )
    return MouthCurves(*(_per_frame(track, start_hop, num_frames) for track in tracks))


def _level(vowel: Floats) -> Floats:
    """Loudness between the recording's own pauses (0) and its loud vowels (1)."""
    top = np.percentile(vowel[_spoken(vowel)], LOUD_PERCENTILE)
    floor = max(np.percentile(vowel, 5), top - 40)
    return np.clip((vowel - floor) / max(top - floor, 12), 0, 1)


def _spoken(vowel: Floats) -> npt.NDArray[np.bool_]:
    """Which hops are speech: those near the mean power of the hops that are louder than the mean of all.

    A mean of powers hardly knows silence, so it makes no difference how long the pauses are.
    """
    power = 10 ** (vowel / 10)
    loud = power[power >= power.mean()].mean()
    return vowel >= 10 * np.log10(loud) - SPEECH_RANGE


def _spread(colour: Floats, level: Floats) -> Floats:
    """The vowels' colour against the voice's own mean; 0 in the pauses."""
    voiced = colour[level > 0.5]
    if not voiced.size:
        return np.zeros_like(colour)
    deviation = (colour - voiced.mean()) / (voiced.std() + 1e-6)
    return np.tanh(0.7 * deviation) * np.clip(2 * level - 0.6, 0, 1)


def _per_frame(track: Floats, start_hop: int, num_frames: int) -> Floats:
    """Place a track in the video and take the hop in the middle of each frame."""
    timeline = np.zeros(num_frames * HOPS_PER_FRAME)
    part = track[: len(timeline) - start_hop]
    timeline[start_hop : start_hop + len(part)] = part
    return timeline[HOPS_PER_FRAME // 2 :: HOPS_PER_FRAME]


def _smooth(track: Floats, seconds: float) -> Floats:
    """Convolve with a Gaussian of this standard deviation."""
    sigma = seconds * HOPS_PER_SECOND
    radius = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.convolve(np.pad(track, radius, mode="edge"), kernel / kernel.sum(), "valid")


def _windows(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """Overlapping windows [some, SPECTRUM] of the sound, centred on one hop after the other."""
    rest = np.zeros(SPECTRUM // 2, np.float32)
    for block in _blocks(path):
        rest = np.concatenate([rest, block])
        count = (len(rest) - SPECTRUM) // HOP + 1
        if count > 0:
            yield np.lib.stride_tricks.sliding_window_view(rest, SPECTRUM)[::HOP][:count]
            rest = rest[count * HOP :]


def _blocks(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """The sound as mono at 16 kHz, block by block, and half a window of silence."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLING_RATE)
        for frame in container.decode(audio=0):
            yield from map(_samples, resampler.resample(frame))
        yield from map(_samples, resampler.resample(None))
    yield np.zeros(SPECTRUM // 2 + HOP, np.float32)


def _samples(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    return frame.to_ndarray().ravel().astype(np.float32, copy=False)


def _band_energies(windows: npt.NDArray[np.float32]) -> Floats:
    """Energies [3, some] of the vowel, front and back bands."""
    power = np.abs(np.fft.rfft(windows * np.hanning(SPECTRUM), axis=1)) ** 2
    frequencies = np.fft.rfftfreq(SPECTRUM, 1 / SAMPLING_RATE)
    bands = ((frequencies >= low) & (frequencies < high) for low, high in (VOWEL_BAND, FRONT_BAND, BACK_BAND))
    return np.stack([power[:, band].sum(1) + 1e-9 for band in bands])
