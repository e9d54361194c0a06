"""Where an attempt goes on: what earlier attempts finished, and what it may leave to the next one."""

from dataclasses import dataclass

from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import RenderSpec
from gpu_worker.storage.store import Store


@dataclass(frozen=True)
class StartingPoint:
    """The first window to render, and the states that it starts from.

    Attributes:
        next_window: Index of the first window that nobody finished yet.
        window_state: What the window before it left; None for the first, and for an engine that leaves none.
        step_state: What a stop inside it left, or None.
    """

    next_window: int
    window_state: bytes | None
    step_state: bytes | None


def find(spec: RenderSpec, store: Store, *, carries_state: bool) -> StartingPoint:
    """Read where earlier attempts stopped; nothing is read for a first attempt.

    Args:
        spec: The order.
        store: Where states are.
        carries_state: Whether the engine leaves a state after each window.

    Raises:
        StorageError: The store stays away, or doesn't hold what control says was saved.
    """
    finished = spec.resume.window_prefixes
    window_state = None
    if finished and carries_state:
        window_state = store.read(storage_keys.window_state(finished[-1], len(finished) - 1))
    return StartingPoint(len(finished), window_state, step_state(spec, store))


def step_state(spec: RenderSpec, store: Store) -> bytes | None:
    """The state inside the next window that an earlier attempt left; raises as `find`."""
    prefix = spec.resume.step_prefix
    return store.read(storage_keys.step_state(prefix)) if prefix else None
