"""How soon a client that was answered 202 hears of the work: the first event of progress on its job's stream.

Web server, control worker and render worker run as in a deployment, the preview engine resident. The time
begins with the answer's arrival and holds the connection to the stream as well.
"""

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator

from benchmarks.row import Row
from benchmarks.web_server import asgi_server, authorized, connect, deployment, make_job, process

READINGS = 1  # Each figure is a percentile of many jobs.
JOBS = 40


def rows() -> Iterator[Row]:
    """Percentiles over jobs that come one after the other, so that the worker is free each time."""
    with deployment() as deployed, contextlib.ExitStack() as stack:
        for command in (
            ("manage.py", "control_worker", "reports"),
            ("-m", "gpu_worker.worker", "--queue", "render-cpu"),
        ):
            stack.enter_context(process(deployed.environment, *command))
        port = stack.enter_context(asgi_server(deployed.environment)).port
        one_job(port, deployed.key)  # Waits until the worker is there and warm.
        times = [1000 * one_job(port, deployed.key) for _ in range(JOBS)]
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        for percent in (50, 95):
            yield Row(f"202 until the first event of progress, p{percent}", cuts[percent - 1], "ms")


def one_job(port: int, key: str) -> float:
    """Make a job and wait until it is canceled; seconds from its 202 to its first event of progress."""
    job_id = make_job(port, key)
    accepted = time.monotonic()
    path, headers = f"/v1/jobs/{job_id}", authorized("GET", "", key).headers
    with contextlib.closing(connect(port)) as stream:
        stream.request("GET", f"{path}/events", headers=headers)
        events = stream.getresponse()
        wait_for_line(events, b"event: progress")
        seconds = time.monotonic() - accepted
        with contextlib.closing(connect(port)) as connection:
            connection.request("POST", f"{path}/cancel", headers=headers)
            connection.getresponse().read()
        wait_for_line(events, b"event: done")
    return seconds


def wait_for_line(lines: Iterable[bytes], wanted: bytes) -> None:
    for line in lines:
        if wanted in line:
            return
    raise AssertionError(f"the stream ended without {wanted.decode()}")
