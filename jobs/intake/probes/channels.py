"""What the two channels of a recording have to do with each other."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from jobs.intake.probes.base import Channel

CANCELLED = 10 ** (-13 / 10)
"""The power of the mix against that of the louder channel, below which opposite phases have cancelled it."""
SPEAKS = 10 ** (-30 / 10)
"""The power of a channel against that of the louder one, from which on somebody speaks on it."""
UNRELATED = 0.3
"""Correlation of the channels' loudness below which two people speak, one on each channel."""
MIN_BLOCKS = 16
SIDES = (Channel.LEFT, Channel.RIGHT)


class ChannelStatistics:
    """Collects the power of both channels and of their mix, block by block."""

    def __init__(self) -> None:
        self._powers: list[npt.NDArray[np.float64]] = []
        self._lengths: list[int] = []

    def add(self, samples: npt.NDArray[np.int16]) -> None:
        """Args: samples: [num_samples, 2]."""
        both = samples.astype(np.float64)
        three = np.column_stack((both, both.mean(axis=1)))
        self._powers.append(np.square(three).mean(axis=0))
        self._lengths.append(len(samples))

    @property
    def louder(self) -> Channel:
        left, right, _ = self._total()
        return Channel.LEFT if left >= right else Channel.RIGHT

    @property
    def cancel(self) -> bool:
        """Whether hardly anything is left of the louder channel in the mix."""
        left, right, mix = self._total()
        return bool(mix < CANCELLED * max(left, right))

    @property
    def are_separate(self) -> bool:
        """Whether somebody else seems to speak on each channel: both do, but not at the same times."""
        left, right, _ = self._total()
        if len(self._powers) < MIN_BLOCKS or min(left, right) < SPEAKS * max(left, right):
            return False
        loudness = np.sqrt(np.array(self._powers)[:, :2])
        if (loudness.std(axis=0) == 0).any():
            return False
        return bool(np.corrcoef(loudness.T)[0, 1] < UNRELATED)

    def _total(self) -> npt.NDArray[np.float64]:
        """Mean power of left, right and mix."""
        return np.average(np.array(self._powers), axis=0, weights=self._lengths)


def keep_channel(recording: Path, channel: Channel) -> int:
    """Replace a stereo FLAC by one of its channels.

    Returns:
        The channel's peak, in 16 bits.
    """
    index, peak = SIDES.index(channel), 0
    kept = recording.with_name("channel")
    with av.open(str(recording)) as source, av.open(str(kept), "w", format="flac") as target:
        stream = source.streams.audio[0]
        encoder = target.add_stream("flac", rate=stream.rate, layout="mono", format="s16")
        for frame in source.decode(stream):
            both = frame.to_ndarray().astype(np.int16, copy=False).reshape(-1, 2)
            samples = np.ascontiguousarray(both[:, index])[None]
            peak = max(peak, int(np.abs(samples.astype(np.int32)).max()))
            part = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            part.sample_rate = frame.sample_rate
            target.mux(encoder.encode(part))
        target.mux(encoder.encode(None))
    kept.replace(recording)
    return peak
