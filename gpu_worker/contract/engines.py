"""What tells the engines apart on both sides: an entry for each."""

from dataclasses import dataclass
from enum import StrEnum


class EngineName(StrEnum):
    INFINITETALK = "infinitetalk"
    PREVIEW = "preview"


@dataclass(frozen=True)
class EngineTraits:
    """Where an engine runs.

    Attributes:
        queue: The RQ queue of its jobs.
        on_gpu: Whether its seconds are those of a GPU.
        wakeable: Whether RunPod can be asked for its workers.
    """

    queue: str
    on_gpu: bool
    wakeable: bool


ENGINES: dict[EngineName, EngineTraits] = {
    EngineName.INFINITETALK: EngineTraits(queue="render-gpu", on_gpu=True, wakeable=True),
    EngineName.PREVIEW: EngineTraits(queue="render-cpu", on_gpu=False, wakeable=False),
}

ON_GPU = frozenset(name for name, traits in ENGINES.items() if traits.on_gpu)
WAKEABLE = frozenset(name for name, traits in ENGINES.items() if traits.wakeable)
