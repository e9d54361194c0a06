"""What control side and render worker tell each other: one spec down, reports up.

Both travel as JSON through RQ. A spec holds all that rendering needs, the ids that its log lines tell, and
nothing else: no URL, no credential but the attempt's own report token.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self, TypeVar

from gpu_worker.contract import reading, storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PresetName, Resolution, Sampling

SPEC_VERSION = 2
"""The newest; version 1 has no `sampling` and no `crop`, and is read as if both were null."""
OLDEST_SPEC_VERSION = 1
REPORT_VERSION = 1
"""Of its own, because a worker must be able to say in words known to all that it can't read a newer spec."""

_SINCE_VERSION_2 = ("sampling", "crop")
MAX_GPU_SECONDS = 31 * 24 * 3600
MAX_RECEIPT_BYTES = 64 * 1024
MAX_MEASURE = 10**12
SHA256 = re.compile("[0-9a-f]{64}")
Message = TypeVar("Message")

SLOW = "slow"
"""What `metadata.simulate` may ask for in test mode beside the codes of errors: windows that are held."""


class SpecError(ValueError):
    """A spec or report that can't be read: another version, a field missing, unknown or of a wrong type."""


class ReferenceKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


class SpeakingOrder(StrEnum):
    TOGETHER = "together"
    FIRST_THEN_SECOND = "first_then_second"
    SECOND_THEN_FIRST = "second_then_first"


@dataclass(frozen=True)
class StoredFile:
    """A normalised input in the object store."""

    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class SpeakerBox:
    """Where a speaker is: fractions 0–1 of the reference picture, from its top left."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class RenderParameters:
    """What a customer asks of a render, beside its files: carried whole from the request to the engine.

    A new one is added here, as a column of `jobs.models.Job`, as a field of
    `jobs.intake.requests.JobRequestSerializer`, and where the engine uses it.
    """

    speaking_order: SpeakingOrder
    speaker_boxes: tuple[SpeakerBox, ...]
    prompt: str
    negative_prompt: str
    resolution: Resolution
    preset: PresetName
    seed: int

    @staticmethod
    def read(data: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters among plain values by name, with their types.

        Raises:
            KeyError: One is missing.
            TypeError, ValueError: One is unfit.
        """
        values = {name: data[name] for name in PARAMETER_NAMES}
        boxes = tuple(SpeakerBox(**box) for box in values["speaker_boxes"])
        return values | {
            "speaking_order": SpeakingOrder(values["speaking_order"]),
            "speaker_boxes": boxes,
            "resolution": Resolution(values["resolution"]),
            "preset": PresetName(values["preset"]),
        }

    def parameters(self) -> dict[str, Any]:
        """These alone, by name."""
        return {name: getattr(self, name) for name in PARAMETER_NAMES}

    def plain_parameters(self) -> dict[str, Any]:
        """These alone, as JSON and a row of `Job` hold them: what `read` takes."""
        return self.parameters() | {"speaker_boxes": [asdict(box) for box in self.speaker_boxes]}


PARAMETER_NAMES = tuple(item.name for item in fields(RenderParameters))


@dataclass(frozen=True)
class Resume:
    """What earlier attempts finished.

    Attributes:
        window_prefixes: For each finished window, in order, the prefix of the attempt that saved it.
        step_prefix: Prefix of the attempt that handed back inside the next window, or None.
    """

    window_prefixes: tuple[str, ...] = ()
    step_prefix: str | None = None


@dataclass(frozen=True)
class Origin:
    """Where a job comes from: for logs and traces, never for a decision.

    Attributes:
        organization: Whose job it is.
        request: The id of the request that made it.
        traceparent: That request's span, as W3C's Trace Context writes it; empty where nothing is traced.
    """

    organization: str = ""
    request: str = ""
    traceparent: str = ""


@dataclass(frozen=True, kw_only=True)
class RenderSpec(RenderParameters):
    """Everything that one attempt at rendering one job needs.

    Attributes:
        sampling: What the job began with; None for one that began under version 1, whose workers chose.
        crop: What is shown of the reference; None for the centre.
        version: Of the JSON that `to_dict` writes.
    """

    job_id: str
    attempt: int
    token: str
    engine: EngineName
    reference: StoredFile
    reference_kind: ReferenceKind
    speech: tuple[StoredFile, ...]
    num_frames: int
    prefix: str
    resume: Resume = field(default_factory=Resume)
    origin: Origin = field(default_factory=Origin)
    simulate: str | None = None
    sampling: Sampling | None = None
    crop: Box | None = None
    version: int = SPEC_VERSION

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON of its version.

        Raises:
            SpecError: Version 1 can't say what it holds.
        """
        data = asdict(self)
        if self.version == OLDEST_SPEC_VERSION:
            if self.sampling or self.crop:
                raise SpecError("a spec of version 1 holds neither sampling nor crop")
            data = {name: value for name, value in data.items() if name not in _SINCE_VERSION_2}
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read a spec of any known version.

        Raises:
            SpecError: It is of another version, or a field is missing, unknown or unfit.
        """
        if isinstance(data, dict) and data.get("version") == OLDEST_SPEC_VERSION:
            if data.keys() & set(_SINCE_VERSION_2):
                raise SpecError("fields unknown to version 1")
            return _read(cls, {**data, **dict.fromkeys(_SINCE_VERSION_2)}, OLDEST_SPEC_VERSION)
        spec = _read(cls, data, SPEC_VERSION)
        try:
            return replace(spec, sampling=sampling_from_dict(data["sampling"]) if data["sampling"] else None)
        except (TypeError, ValueError) as error:
            raise SpecError(f"unfit value in a spec: {error}") from error

    @property
    def output_key(self) -> str:
        return storage_keys.output_video(self.prefix)


class ReportKind(StrEnum):
    STARTED = "started"
    WINDOW = "window"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    HANDED_BACK = "handed_back"


@dataclass(frozen=True)
class RenderedVideo:
    """Facts of a finished video, as measured by the worker on the file that it uploaded."""

    width: int
    height: int
    fps: int
    num_frames: int
    duration_seconds: float
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        numbers = (self.width, self.height, self.fps, self.num_frames, self.size_bytes)
        if not all(0 < number <= MAX_MEASURE for number in numbers) or not 0 < self.duration_seconds <= 1e6:
            raise ValueError("measures that no video has")
        if not SHA256.fullmatch(self.sha256):
            raise ValueError("no SHA-256")


@dataclass(frozen=True)
class RenderReport:
    """What a worker says of its attempt.

    Attributes:
        token: The attempt's secret from the spec; a report without it is dropped.
        windows_done: Windows finished so far, those of earlier attempts included.
        gpu_seconds: Seconds that this attempt has held its device so far.
        step_saved: On a hand-back: whether a state inside the next window was saved.
        video: Facts of the result, on success.
        error_code: One of the contract's job error codes, on failure.
        error_detail: A sentence for the user, on failure; without paths, keys or addresses.
        receipt: What made the video: engine, revisions, preset, device, timings.
    """

    job_id: str
    attempt: int
    token: str
    kind: ReportKind
    windows_done: int
    gpu_seconds: float
    step_saved: bool = False
    video: RenderedVideo | None = None
    error_code: str | None = None
    error_detail: str | None = None
    receipt: dict[str, Any] | None = None
    version: int = REPORT_VERSION

    def __post_init__(self) -> None:
        if self.attempt < 0 or self.windows_done < 0:
            raise ValueError("a negative number")
        if self.kind is ReportKind.SUCCEEDED and self.video is None:
            raise ValueError("a success without a video")
        check_seconds(self.gpu_seconds)
        check_receipt(self.receipt or {})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read a report.

        Raises:
            SpecError: It is of another version, or a field is missing, unknown or unfit.
        """
        return _read(cls, data, REPORT_VERSION)


def sampling_from_dict(data: dict[str, Any]) -> Sampling:
    """Read what `asdict` made of a `Sampling`.

    Raises:
        TypeError: A field is missing or unknown.
        ValueError: There is no timestep, or one is no number.
    """
    sampling = Sampling(**data)
    if not sampling.timesteps:
        raise ValueError("a schedule without timesteps")
    return replace(sampling, timesteps=tuple(float(timestep) for timestep in sampling.timesteps))


def check_seconds(seconds: float) -> None:
    """Raises: ValueError: No attempt can have held its device for so long."""
    if not 0 <= seconds <= MAX_GPU_SECONDS:
        raise ValueError("seconds that no attempt takes")


def check_receipt(receipt: dict[str, Any]) -> None:
    """Raises: ValueError: It is too long, or holds what the database doesn't take."""
    written = json.dumps(receipt, ensure_ascii=False, allow_nan=False).encode()
    if len(written) > MAX_RECEIPT_BYTES or b"\\u0000" in written:
        raise ValueError("a receipt that can't be kept")


def _read(cls: type[Message], data: Any, version: int) -> Message:
    if not isinstance(data, dict):
        raise SpecError("no object")
    if data.get("version") != version:
        raise SpecError(f"another version, where {version} is known")
    known = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    if known - data.keys() or data.keys() - known:
        raise SpecError("fields missing or unknown")
    try:
        return reading.read(cls, data)
    except reading.UnreadableError as error:
        raise SpecError(f"unfit value: {error}") from error
