"""InfiniteTalk as an engine of the render worker."""

from gpu_worker.engines.infinitetalk.engine import InfiniteTalkEngine

__all__ = ["InfiniteTalkEngine"]
