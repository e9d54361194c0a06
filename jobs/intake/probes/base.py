"""What the intake and its child processes share. No decoder: the web process imports it."""

from dataclasses import dataclass
from enum import StrEnum

from gpu_worker.contract.framing import Box


class MediaKind(StrEnum):
    """What a file is meant to be. It is read as nothing else, whatever its name or type says."""

    IMAGE = "image"
    SPEECH = "speech"
    VIDEO = "video"


class Channel(StrEnum):
    """What is wanted of a recording."""

    ALL = "all"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True)
class IntakeLimits:
    """What differs from tenant to tenant, and from request to request.

    Attributes:
        max_speech_seconds: Longest recording; a reference video is cut there, since no more of it is used.
        channel: Of a recording, what is kept of it.
    """

    max_speech_seconds: float
    channel: Channel = Channel.ALL


@dataclass(frozen=True)
class Face:
    """A face in a picture or in the first frame of a video; fractions of it, from its top left.

    Attributes:
        speaks: Whether it is seen enough from the front to be a speaker.
    """

    x: float
    y: float
    width: float
    height: float
    speaks: bool

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.width, self.height)


@dataclass(frozen=True)
class Measurements:
    """What a probe measured on the normalised copy of a file.

    Attributes:
        width: Of a picture or video, in pixels.
        height: Likewise.
        duration_seconds: Of a recording or video.
        num_samples: Of a recording, per channel.
        sampling_rate: Of a recording, in Hz.
        channel: Of a stereo recording, the one that was kept, if only one was.
        separate_speakers: Whether a stereo recording seems to hold one speaker on each channel.
        faces: Of a picture or of a video's first frame, largest first.
        picture_hash: Of a picture, 16 hexadecimal digits by which one that looks the same is known.
    """

    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    num_samples: int | None = None
    sampling_rate: int | None = None
    channel: str | None = None
    separate_speakers: bool = False
    faces: tuple[Face, ...] = ()
    picture_hash: str | None = None


class IntakeError(Exception):
    """A file that can't be used, with the contract's code and a sentence for the user."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def unreadable(kind: MediaKind) -> IntakeError:
    """The error of a file on which decoding itself fails, in whatever way."""
    code, formats = {
        MediaKind.IMAGE: ("image_unreadable", "a picture (JPEG, PNG, WebP, AVIF, HEIC, BMP, TIFF or GIF)"),
        MediaKind.SPEECH: (
            "audio_unreadable",
            "a recording (WAV, MP3, M4A, FLAC, OGG, WebM, CAF, AIFF, AMR, or a video's sound)",
        ),
        MediaKind.VIDEO: ("video_unreadable", "a video (MP4, MOV or WebM)"),
    }[kind]
    return IntakeError(
        code, f"The file can't be read as {formats}, or takes too much time or memory to decode."
    )


@dataclass(frozen=True)
class Bounds:
    """What one probe may use.

    Attributes:
        cpu_seconds: Processor time.
        wall_seconds: Time from its start.
        file_bytes: The largest file that it may write.
        memory_bytes: Its address space, half a gigabyte of which all probes share.
        open_files: Its file descriptors.
        tasks: Processes and threads of the user that it runs as. The kernel counts those of other programs
            and containers, too, so this leaves room for them; it doesn't hold for root.
    """

    cpu_seconds: int
    wall_seconds: float
    file_bytes: int
    memory_bytes: int = 3 * 2**29
    open_files: int = 32
    tasks: int = 4096


def bounds_of(kind: MediaKind, limits: IntakeLimits) -> Bounds:
    """A few times what an honest file of the largest size that the limits allow takes."""
    longest = int(limits.max_speech_seconds) + 1
    cpu_seconds, file_bytes, memory_bytes = {
        MediaKind.IMAGE: (12, 2**26, 3 * 2**29),
        MediaKind.SPEECH: (10 + longest // 20, 2**20 + longest * 48_000 * 4, 3 * 2**28),
        MediaKind.VIDEO: (40 + longest * 2 // 5, 2**26 + longest * 2**22, 3 * 2**29),
    }[kind]
    return Bounds(
        cpu_seconds=cpu_seconds,
        wall_seconds=3 * cpu_seconds,
        file_bytes=file_bytes,
        memory_bytes=memory_bytes,
    )
