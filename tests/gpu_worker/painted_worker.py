"""A render worker process with the painted engine: `python -m tests.gpu_worker.painted_worker [--burst]`."""

import argparse

from gpu_worker import worker
from gpu_worker.runtime import serverless_sessions
from tests.gpu_worker.painted_engine import PaintedEngine

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--burst", action="store_true")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--queue", default="render-cpu")
    options = parser.parse_args()
    serverless_sessions.IDLE_SECONDS = 0.5
    worker.set_up_logging()
    worker.serve(
        options.queue, burst=options.burst, turns=options.turns, load_engine=lambda name: PaintedEngine()
    )
