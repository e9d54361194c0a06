"""How long a worker on RunPod serverless may take, on which whoever wakes it and the worker must agree."""

EXECUTION_SECONDS = 600
"""After so long RunPod ends a request by force: the endpoint's execution time-out."""
TURN_SECONDS = 480
"""So long a request lets a worker render: the rest is for handing back, which may take one denoising step of
up to 95 s and an upload."""
