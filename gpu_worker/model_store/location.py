"""Where the models are kept."""

import os
from pathlib import Path

DEFAULT_PATH = "/runpod-volume/models"


def storage_path() -> Path:
    """The folder of the prepared models: MODEL_STORAGE_PATH, by default that of a RunPod network volume."""
    return Path(os.environ.get("MODEL_STORAGE_PATH", DEFAULT_PATH))
