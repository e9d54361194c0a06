"""`python -m gpu_worker.worker`, given all the time to end that it takes on a busy machine."""

import sys

from gpu_worker import worker
from gpu_worker.runtime import shutdown

if __name__ == "__main__":
    shutdown.LIMIT_SECONDS = shutdown.STEP_SECONDS = worker.REPORT_SECONDS = 240.0
    sys.exit(worker.main())
