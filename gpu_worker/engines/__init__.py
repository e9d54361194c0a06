"""The engines by name, imported only when asked for: the CPU worker has no torch."""

from gpu_worker.contract.engines import EngineName
from gpu_worker.engines.base import Engine


def load(name: EngineName) -> Engine:
    """The engine with its models in memory.

    Raises:
        NotReadyError: Its models were never prepared.
        RenderError: `model_unavailable`, when they are damaged.
    """
    if name is EngineName.PREVIEW:
        from gpu_worker.engines.preview import PreviewEngine

        return PreviewEngine()
    # A look at the mark before seconds of imports; startup.sh has verified what it stands for.
    from gpu_worker.model_store import manifest
    from gpu_worker.model_store.location import storage_path

    manifest.read(storage_path())
    from gpu_worker.engines import infinitetalk

    return infinitetalk.load_from_environment()
