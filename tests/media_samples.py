"""Sounds, pictures and videos for tests, made by code."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.floating]
"""Samples in [-1, 1], [num_samples] or [num_samples, channels]."""


def tone(hertz: float, seconds: float, *, rate: int = 48_000, level: float = 0.1) -> Sound:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def clicks(at_seconds: list[float], seconds: float, *, rate: int = 48_000) -> Sound:
    samples = np.zeros(round(seconds * rate))
    samples[[round(at * rate) for at in at_seconds]] = 0.9
    return samples


def write_sound(
    path: Path, samples: Sound, *, rate: int = 48_000, codec: str = "flac", layout: str | None = None
) -> Path:
    """Write a sound; the container follows the name, the sample format the codec."""
    layout = layout or ("mono" if samples.ndim == 1 else "stereo")
    planes = np.ascontiguousarray(samples.reshape(len(samples), -1).T, dtype=np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(planes, "fltp", layout)
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=4096)
        for piece in resampler.resample(frame) + resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def read_sound(path: Path) -> Sound:
    """Decode a sound as a player does, edit lists included: [num_samples, channels]."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp")
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray() for frame in frames + resampler.resample(None)], axis=1).T


def moving_picture(
    num_frames: int, *, start: int = 0, width: int = 64, height: int = 48
) -> npt.NDArray[np.uint8]:
    """RGB [num_frames, height, width, 3]: a gradient that moves with the frame's number."""
    across = np.arange(width) + 3 * np.arange(start, start + num_frames)[:, None]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    frames[..., 0] = (across % 256)[:, None, :]
    frames[..., 1] = np.arange(height)[:, None] * 255 // height
    frames[..., 2] = 90
    return frames
