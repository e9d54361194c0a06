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
        window_state: What the window before it left, or None for the first.
        step_state: What a stop inside it left, or None.
    """

    next_window: int
    window_state: bytes | None
    step_state: bytes | None


def find(spec: RenderSpec, store: Store) -> StartingPoint:
    """Read where earlier attempts stopped; nothing is read for a first attempt.

    Raises:
        StorageError: The store stays away, or doesn't hold what control says was saved.
    """
    finished = spec.resume.window_prefixes
    window_state = (
        store.read(storage_keys.window_state(finished[-1], len(finished) - 1)) if finished else None
    )
    return StartingPoint(len(finished), window_state, step_state(spec, store))


def step_state(spec: RenderSpec, store: Store) -> bytes | None:
    """The state inside the next window that an earlier attempt left; raises as `find`."""
    prefix = spec.resume.step_prefix
    return store.read(storage_keys.step_state(prefix)) if prefix else None
