"""What control side and render worker tell each other: one spec down, reports up.

Both travel as JSON through RQ. A spec holds all that rendering needs, the ids that its log lines tell, and
nothing else: no URL, no credential but the attempt's own report token.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

from gpu_worker.contract import storage_keys
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.framing import Box
from gpu_worker.contract.presets import PresetName, Resolution, Sampling

SPEC_VERSION = 2
"""The newest; version 1 has no `sampling` and no `crop`, and is read as if both were null."""
OLDEST_SPEC_VERSION = 1
REPORT_VERSION = 1
"""Of its own, because a worker must be able to say in words known to all that it can't read a newer spec."""

_SINCE_VERSION_2 = ("sampling", "crop")

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
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read a spec of any known version.

        Raises:
            SpecError: It is of another version, or a field is missing, unknown or unfit.
        """
        if data.get("version") == OLDEST_SPEC_VERSION:
            _check(cls, data, OLDEST_SPEC_VERSION, without=_SINCE_VERSION_2)
            data = {**data, **dict.fromkeys(_SINCE_VERSION_2)}
        else:
            _check(cls, data, SPEC_VERSION)
        try:
            return cls(
                **{
                    **data,
                    **RenderParameters.read(data),
                    "engine": EngineName(data["engine"]),
                    "reference": StoredFile(**data["reference"]),
                    "reference_kind": ReferenceKind(data["reference_kind"]),
                    "speech": tuple(StoredFile(**item) for item in data["speech"]),
                    "resume": _resume(data["resume"]),
                    "origin": Origin(**data["origin"]),
                    "sampling": sampling_from_dict(data["sampling"]) if data["sampling"] else None,
                    "crop": Box(**data["crop"]) if data["crop"] else None,
                }
            )
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

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read a report.

        Raises:
            SpecError: It is of another version, or a field is missing, unknown or unfit.
        """
        _check(cls, data, REPORT_VERSION)
        try:
            video = RenderedVideo(**data["video"]) if data["video"] else None
            return cls(**{**data, "kind": ReportKind(data["kind"]), "video": video})
        except (TypeError, ValueError) as error:
            raise SpecError(f"unfit value in a report: {error}") from error


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


def _check(cls: type, data: dict[str, Any], version: int, without: tuple[str, ...] = ()) -> None:
    if data.get("version") != version:
        raise SpecError(f"version {data.get('version')!r}, where {version} is known")
    known = {item.name for item in fields(cls)} - set(without)
    if unfit := known ^ data.keys():
        raise SpecError(f"fields missing or unknown: {', '.join(sorted(unfit))}")


def _resume(data: dict[str, Any]) -> Resume:
    return Resume(tuple(data["window_prefixes"]), data["step_prefix"])
