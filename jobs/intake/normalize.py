"""Takes in what was uploaded: measured, normalised, and decoded nowhere else.

Each probe reads a file in a confined process (`jobs.intake.sandbox`), whatever its name or declared type
says, and leaves one normalised copy, or nothing. Engines open only these copies.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp

from jobs.intake.probes.base import Face, IntakeError, IntakeLimits, MediaKind, bounds_of, unreadable
from jobs.intake.sandbox import run_probe

__all__ = ["IntakeError", "IntakeLimits", "NormalisedFile", "probe_image", "probe_speech", "probe_video"]


@dataclass(frozen=True)
class NormalisedFile:
    """The normalised copy of an uploaded file.

    Attributes:
        path: Where the copy lies.
        sha256: Of the file as it was uploaded.
        size_bytes: Likewise.
        width: Of the copy of a picture or video, in pixels.
        height: Likewise.
        duration_seconds: Of the copy of a recording or video.
        num_samples: Of the copy of a recording, per channel.
        sampling_rate: Of the copy of a recording, in Hz.
        channel: Of a stereo recording, the one that was kept, if only one was.
        separate_speakers: Whether a stereo recording seems to hold one speaker on each channel.
        faces: Of a picture or of a video's first frame, largest first.
        picture_hash: Of a picture, 16 hexadecimal digits by which one that looks the same is known.
    """

    path: Path
    sha256: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    num_samples: int | None = None
    sampling_rate: int | None = None
    channel: str | None = None
    separate_speakers: bool = False
    faces: tuple[Face, ...] = ()
    picture_hash: str | None = None


def probe_image(source: Path, limits: IntakeLimits, folder: Path) -> NormalisedFile:
    """Copy a picture into `folder` as PNG: upright, sRGB, on white where it was transparent, ≤ 2048 pixels.

    Raises:
        IntakeError: `image_unreadable`, `image_too_large`, `image_too_small`.
    """
    return normalise(MediaKind.IMAGE, source, limits, folder)


def probe_speech(source: Path, limits: IntakeLimits, folder: Path) -> NormalisedFile:
    """Copy a recording into `folder` as 16-bit FLAC: own loudness and rate (≤ 48 kHz), mono or stereo.

    Of stereo one channel is left where the limits name it, or where both would cancel each other in mono.

    Raises:
        IntakeError: `audio_unreadable`, `audio_too_long`, `audio_too_short`, `audio_silent`.
    """
    return normalise(MediaKind.SPEECH, source, limits, folder)


def probe_video(source: Path, limits: IntakeLimits, folder: Path) -> NormalisedFile:
    """Copy a video into `folder` as H.264 without sound: upright, ≤ 25 fps, BT.709, ≤ 1280 pixels.

    Raises:
        IntakeError: `video_unreadable`.
    """
    return normalise(MediaKind.VIDEO, source, limits, folder)


def normalise(kind: MediaKind, source: Path, limits: IntakeLimits, folder: Path) -> NormalisedFile:
    """Copy a file of this kind into `folder`, as the function of the kind says."""
    with TemporaryDirectory(dir=folder, prefix=f"{kind}-") as workplace:
        copy = Path(workplace) / "copy"
        measured = run_probe(kind, source, copy, limits, bounds_of(kind, limits))
        if copy.is_symlink() or not copy.is_file():  # Else a process taken over could offer any file of ours.
            raise unreadable(kind)
        path = copy.rename(_new_file(kind, folder))
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return NormalisedFile(path, digest, source.stat().st_size, **vars(measured))


def _new_file(kind: MediaKind, folder: Path) -> Path:
    descriptor, name = mkstemp(dir=folder, prefix=f"{kind}-")
    os.close(descriptor)
    return Path(name)
