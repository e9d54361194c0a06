"""The engines by name, imported only when asked for: the CPU worker has no torch."""

from gpu_worker.contract.spec import EngineName
from gpu_worker.engines.base import Engine


def load(name: EngineName) -> Engine:
    """The engine with its models in memory.

    Raises:
        RenderError: `model_unavailable`, when its models are missing or damaged.
    """
    if name is EngineName.PREVIEW:
        from gpu_worker.engines.preview import PreviewEngine

        return PreviewEngine()
    from gpu_worker.engines.infinitetalk import InfiniteTalkEngine

    return InfiniteTalkEngine.from_environment()
