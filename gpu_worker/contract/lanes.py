"""In which queue a job waits: a worker takes only from those for whose presets it has the weights."""

from collections.abc import Collection
from dataclasses import dataclass

from gpu_worker.contract.engines import ENGINES, EngineName
from gpu_worker.contract.presets import PRESETS, PresetName, Weights


@dataclass(frozen=True)
class Lane:
    """The jobs of an engine that need the same weights.

    Attributes:
        engine: What renders them.
        queue: Their RQ queue.
        weights: What they need; None for an engine without weights.
    """

    engine: EngineName
    queue: str
    weights: Weights | None = None

    @property
    def presets(self) -> frozenset[PresetName]:
        """Of its jobs."""
        needs = {name: preset.weights for name, preset in PRESETS.items()}
        return frozenset(name for name in needs if self.weights in (None, needs[name]))


_GPU_QUEUE = ENGINES[EngineName.INFINITETALK].queue

LANES = (
    Lane(EngineName.PREVIEW, ENGINES[EngineName.PREVIEW].queue),
    Lane(EngineName.INFINITETALK, _GPU_QUEUE, Weights.STANDARD),
    Lane(EngineName.INFINITETALK, f"{_GPU_QUEUE}-turbo", Weights.TURBO),
)


def lane_of(engine: EngineName, preset: PresetName) -> Lane:
    return next(lane for lane in LANES if lane.engine is engine and preset in lane.presets)


def lanes_for(engine: EngineName, presets: Collection[str] | None) -> frozenset[Lane]:
    """Those that a worker takes jobs from.

    Args:
        engine: What it renders with.
        presets: Those that it has weights for; None for a worker of a release that knew the first lane alone.
    """
    lanes = [lane for lane in LANES if lane.engine is engine]
    if presets is None:
        return frozenset(lanes[:1])
    return frozenset(lane for lane in lanes if not lane.presets.isdisjoint(presets))
