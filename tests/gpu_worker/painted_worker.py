"""A render worker process with the painted engine: `python -m tests.gpu_worker.painted_worker [--burst]`."""

import argparse
import os

from gpu_worker import worker
from gpu_worker.runtime import serverless_sessions, shutdown
from tests.gpu_worker.painted_engine import PaintedEngine

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--burst", action="store_true")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--queue", default="render-cpu")
    options = parser.parse_args()
    serverless_sessions.IDLE_SECONDS = 0.5
    # Beyond what anything takes on a busy machine. Who tests one of these limits sets it.
    shutdown.LIMIT_SECONDS = shutdown.WINDOW_SECONDS = shutdown.REPORT_SECONDS = worker.REPORT_SECONDS = 240.0
    shutdown.STEP_SECONDS = float(os.environ.get("PAINTED_STEP_SECONDS", 240))
    if hand_back := os.environ.get("PAINTED_HAND_BACK_SECONDS"):
        serverless_sessions.HAND_BACK_SECONDS = float(hand_back)
    worker.set_up_logging()
    worker.serve(
        options.queue, burst=options.burst, turns=options.turns, load_engine=lambda name: PaintedEngine()
    )
