"""Sounds, pictures and videos for tests, made by code."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

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


def write_video(
    path: Path,
    frames: npt.NDArray[np.uint8],
    *,
    fps: int = 25,
    codec: str = "libx264",
    turned: int = 0,
    pixel_aspect: Fraction = Fraction(1),
    sound: Sound | None = None,
) -> Path:
    """Write RGB frames [num_frames, height, width, 3], to be shown turned anticlockwise by `turned` degrees.

    A `sound` is at 48 kHz.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.sample_aspect_ratio = pixel_aspect
        if turned:
            stream.set_display_rotation(turned)
        voice = container.add_stream("aac", rate=48_000, layout="mono") if sound is not None else None
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
        container.mux(stream.encode(None))
        if voice is not None and sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 48_000, 0
            container.mux(voice.encode(frame) + voice.encode(None))
    return path


def read_video(path: Path) -> npt.NDArray[np.uint8]:
    """RGB [num_frames, height, width, 3]."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def portrait(width: int = 320, height: int = 240) -> Image.Image:
    """A picture whose quarters are red, green (above), blue and yellow (below)."""
    image = Image.new("RGB", (width, height), "yellow")
    image.paste("red", (0, 0, width // 2, height // 2))
    image.paste("lime", (width // 2, 0, width, height // 2))
    image.paste("blue", (0, height // 2, width // 2, height))
    return image
