"""A render worker process with the painted engine: `python -m tests.gpu_worker.painted_worker [--burst]`."""

import sys

from gpu_worker import worker
from tests.gpu_worker.painted_engine import PaintedEngine

if __name__ == "__main__":
    worker.set_up_logging()
    worker.serve("render-cpu", burst="--burst" in sys.argv, load_engine=lambda name: PaintedEngine())
