"""What the API answers with, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

Value = TypeVar("Value")


def known(cls: type[Value], data: Mapping[str, Any]) -> Value:
    """A value of the fields that this version knows; newer servers may send more."""
    names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in data.items() if name in names})


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a field of a request."""

    field: str
    code: str
    detail: str


@dataclass(frozen=True)
class Output:
    """A finished video. `url` is signed afresh on each read and works without the key for an hour."""

    url: str
    thumbnail_url: str
    content_type: str
    duration_seconds: float
    width: int
    height: int
    fps: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Failure:
    """Why there is no video."""

    code: str
    detail: str
    retryable: bool


@dataclass(frozen=True)
class Estimate:
    """What a video would take and cost.

    Attributes:
        duration_seconds: Of the video.
        estimated_seconds: Of rendering.
        eta_seconds: Until it would be there, the time that it waits included; None without a worker.
        cheaper_preset: One that the request allows and that costs less.
        faces: Boxes in fractions of the picture, largest first.
        warnings: Codes and sentences about what may be wanting.
    """

    duration_seconds: float
    windows: int
    estimated_seconds: float
    estimated_cost_usd: str
    queue_position: int | None = None
    eta_seconds: float | None = None
    cheaper_preset: str | None = None
    faces: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, str]] = field(default_factory=list)
    input: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VideoState:
    """A video as the server describes it at one moment.

    Attributes:
        status: `queued`, `processing`, `succeeded`, `failed` or `canceled`.
        progress: 0 to 100.
        stage: What is being done.
        stream_url: An HLS playlist that plays what is finished, from the first window on.
        raw: The whole answer.
    """

    id: str
    status: str
    progress: int
    stage: str | None
    queue_position: int | None
    eta_seconds: float | None
    stream_url: str | None
    output: Output | None
    error: Failure | None
    metadata: dict[str, str]
    raw: dict[str, Any]

    @classmethod
    def read(cls, data: dict[str, Any]) -> VideoState:
        return cls(
            id=data["id"],
            status=data["status"],
            progress=data["progress"],
            stage=data.get("stage"),
            queue_position=data.get("queue_position"),
            eta_seconds=data.get("eta_seconds"),
            stream_url=data.get("stream_url"),
            output=known(Output, data["output"]) if data.get("output") else None,
            error=known(Failure, data["error"]) if data.get("error") else None,
            metadata=data.get("metadata", {}),
            raw=data,
        )

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "processing")
