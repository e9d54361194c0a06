"""`gpu_worker.serverless` with the painted engine: `python -m tests.gpu_worker.painted_serverless`."""

import sys

from gpu_worker import serverless

if __name__ == "__main__":
    worker = [sys.executable, "-m", "tests.gpu_worker.painted_worker", "--queue", "render-gpu"]
    sys.exit(serverless.main(worker))
