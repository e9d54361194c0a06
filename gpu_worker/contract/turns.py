"""How long a worker on RunPod serverless may take, on which whoever wakes it and the worker must agree."""

EXECUTION_SECONDS = 600
"""After so long RunPod ends a request by force: the endpoint's execution time-out."""
TURN_SECONDS = 480
"""So long at most a request lets a worker render. The worker ends its turn earlier where the next step would
not leave `HAND_BACK_SECONDS` of the execution time-out."""
HAND_BACK_SECONDS = 25.0
"""What handing back takes after the last step: to encode and upload a window and the state, and to report."""
