"""Test mode's failures on purpose: a job can ask for each error code, and for slow windows."""

from gpu_worker.contract.spec import SLOW
from gpu_worker.engines.base import RenderError
from gpu_worker.rendering import errors

SLOW_SECONDS = 2.0

# Where each code arises in life; those not named here are faults of the inputs, found at the start.
STAGES = {
    "face_not_found": "sampling",
    errors.OUT_OF_MEMORY: "sampling",
    "timed_out": "sampling",
    "worker_lost": "sampling",
    errors.INTERNAL_ERROR: "sampling",
    errors.STORAGE_FAILED: "uploading",
}


def fail_if_requested(simulate: str | None, stage: str) -> None:
    """Fail with the code that the job asked for, if this is the place where it arises.

    Raises:
        RenderError: It is.
    """
    if simulate not in (None, SLOW) and STAGES.get(simulate, "starting") == stage:
        raise RenderError(simulate, "This failure was requested by metadata.simulate.")
