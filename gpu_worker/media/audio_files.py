"""The sound of the video: what the speakers said, at its own loudness, on one time line.

It is encoded once an attempt; segments and the finished video take the same packets. Everything streams: an
hour of speech takes as much memory as a second.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, zip_longest
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer

from gpu_worker.contract.spec import SpeakingOrder

SAMPLING_RATE = 48_000
BLOCK_SAMPLES = 4800
# FFmpeg's encoder distorts loud onsets at lower rates (11 dB of signal to noise at 128 kbit/s, 39 dB at 160)
# and speech with temporal noise shaping. Its coder "fast" is better on speech, but breaks loud pure tones.
BITS_PER_SECOND = {"mono": 160_000, "stereo": 256_000}
AAC_OPTIONS = {"aac_tns": "0"}

Block = npt.NDArray[np.float32]
"""A tenth of a second at 48 kHz (the last one of a recording less), float32 [channels, num_samples]."""


def write(speech: Sequence[Path], order: SpeakingOrder, go_on: Callable[[], None], out: Path) -> None:
    """Encode what one or two speakers say: AAC in an MP4, stereo where one recording is, else mono.

    Args:
        speech: One or two normalised recordings.
        order: How two recordings lie on the time line.
        go_on: Called for each packet; what it raises ends the writing.
        out: Where to write the MP4.
    """
    with av.open(str(out), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = _add_stream(container, speech)
        for packet in _encode(mixed(speech, order), stream):
            go_on()
            container.mux(packet)


def _add_stream(container: OutputContainer, speech: Sequence[Path]) -> AudioStream:
    layout = "stereo" if any(_num_channels(path) == 2 for path in speech) else "mono"
    bit_rate = BITS_PER_SECOND[layout]
    return container.add_stream(
        "aac", rate=SAMPLING_RATE, layout=layout, bit_rate=bit_rate, options=AAC_OPTIONS
    )


def _encode(blocks: Iterator[Block], stream: AudioStream) -> Iterator[av.Packet]:
    channels = stream.layout.nb_channels
    start = 0
    for block in blocks:
        samples = np.ascontiguousarray(np.broadcast_to(block, (channels, block.shape[1])))
        frame = av.AudioFrame.from_ndarray(samples, "fltp", stream.layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLING_RATE, start, Fraction(1, SAMPLING_RATE)
        start += frame.samples
        yield from stream.encode(frame)
    yield from stream.encode(None)


def mixed(speech: Sequence[Path], order: SpeakingOrder) -> Iterator[Block]:
    """The recordings on one time line, at their own loudness.

    Where two people speak together and their sum would leave [-1, 1], the whole mix is turned down just
    enough: that keeps the balance between them and adds no distortion, as clipping or a limiter would.
    """
    if len(speech) == 1:
        return _blocks(speech[0])
    first, second = speech
    if order == SpeakingOrder.FIRST_THEN_SECOND:
        return chain(_blocks(first), _blocks(second))
    if order == SpeakingOrder.SECOND_THEN_FIRST:
        return chain(_blocks(second), _blocks(first))
    gain = np.float32(1 / max(1.0, *(float(np.abs(block).max()) for block in _sum(first, second))))
    return (block * gain for block in _sum(first, second))


def _sum(first: Path, second: Path) -> Iterator[Block]:
    silence = np.zeros((1, 0), np.float32)
    for a, b in zip_longest(_blocks(first), _blocks(second), fillvalue=silence):
        length = max(a.shape[1], b.shape[1])
        yield _padded(a, length) + _padded(b, length)


def _padded(block: Block, length: int) -> Block:
    return np.pad(block, ((0, 0), (0, length - block.shape[1])))


def _blocks(recording: Path) -> Iterator[Block]:
    """A recording at 48 kHz."""
    with av.open(str(recording)) as container:
        resampler = av.AudioResampler("fltp", rate=SAMPLING_RATE, frame_size=BLOCK_SAMPLES)
        for frame in chain(container.decode(audio=0), [None]):
            for resampled in resampler.resample(frame):
                yield resampled.to_ndarray().astype(np.float32, copy=False)


def _num_channels(recording: Path) -> int:
    with av.open(str(recording)) as container:
        return container.streams.audio[0].layout.nb_channels
