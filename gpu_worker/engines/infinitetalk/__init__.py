"""InfiniteTalk as an engine of the render worker."""

from environs import FileAwareEnv, validate

from gpu_worker.engines.base import Engine
from gpu_worker.engines.infinitetalk.engine import InfiniteTalkEngine
from gpu_worker.engines.infinitetalk.parallel_engine import ParallelEngine

__all__ = ["InfiniteTalkEngine", "ParallelEngine", "load_from_environment"]


def load_from_environment() -> Engine:
    """The engine that the environment asks for; WORKER_GPUS says how many GPUs share each render.

    Raises:
        RenderError: `model_unavailable`, when the models can't be loaded or the GPUs can't be used.
    """
    env = FileAwareEnv(strip_whitespace=True)
    num_gpus = env.int("WORKER_GPUS", 1, validate=validate.Range(min=1))
    return InfiniteTalkEngine.from_environment() if num_gpus == 1 else ParallelEngine(num_gpus)
