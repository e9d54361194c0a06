"""`python -m chaos.tiny_models FOLDER`: a checkpoint for the InfiniteTalk worker, random and tiny."""

import sys
from pathlib import Path

from tests.gpu_worker.tiny_models import prepare_tiny_models

if __name__ == "__main__":
    prepare_tiny_models(Path(sys.argv[1]))
