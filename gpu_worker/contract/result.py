"""`result.json`: what a finished render leaves in the store before its last report."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from gpu_worker.contract import reading
from gpu_worker.contract.spec import RenderedVideo, check_receipt, check_seconds


@dataclass(frozen=True)
class RenderResult:
    """A finished video, and what made it; see `RenderReport`."""

    video: RenderedVideo
    receipt: dict[str, Any]
    gpu_seconds: float

    def __post_init__(self) -> None:
        check_seconds(self.gpu_seconds)
        check_receipt(self.receipt)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Raises: UnreadableError: It is something else."""
        return reading.read(cls, reading.parse(content))
