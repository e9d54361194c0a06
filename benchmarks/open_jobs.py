"""What requests for open jobs cost beside an empty view, with a short queue and a long one.

For each length of the queue one server answers an empty view, one queued job, one that is rendered, and a
list of twenty open jobs, all beside 200 listeners, and then takes new jobs. Their shares of the empty view's
rate are what counts; the rates themselves depend on the machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.row import Row
from benchmarks.serving import SOME_LISTENERS, figures, listeners, load
from benchmarks.web_server import (
    ROOT,
    Deployment,
    WebServer,
    asgi_server,
    authorized,
    creation,
    deployment,
)

READINGS = 1  # Each figure is a median of slices already.
WAITING = (10, 10_000)
OPEN_JOBS_OF_ALL_TENANTS = 10**6
"""So that POST isn't refused for the length of the queue."""
FILL = (
    "import django, json, sys; django.setup()\n"
    "from accounts.models import Organization; from jobs.models import Job; from tests import factories\n"
    "from gpu_worker.contract import coordination; from avatar_api.common.redis import quick_client\n"
    "from tests.jobs.query_plans import copy_rows\n"
    "acme = Organization.objects.get(name='Acme'); waiting = int(sys.argv[1]); Job.objects.all().delete()\n"
    "open_job = dict(num_frames=250, windows=4)\n"
    "queued = factories.job(acme, **open_job)\n"
    "copy_rows(queued, (waiting - 1, {'status': 'queued'}))\n"
    "rendered = factories.job(acme, **open_job, status='processing', attempt=1, worker='w')\n"
    "progress = coordination.Progress(1, 'sampling', 1, 4, 2, 4, 0.4)\n"
    "coordination.write_progress(quick_client(), rendered.id, progress)\n"
    "print(json.dumps([queued.id, rendered.id]))\n"
)


@dataclass(frozen=True)
class OpenJobs:
    """The ids of one job that waits and one that is rendered."""

    queued: str
    rendered: str


def rows() -> Iterator[Row]:
    """Rates and latencies, and each rate as a share of the empty view's."""
    with deployment() as deployed:
        limit = {"MAX_QUEUED_JOBS": str(OPEN_JOBS_OF_ALL_TENANTS)}
        deployed = replace(deployed, environment=deployed.environment | limit)
        for waiting in WAITING:
            jobs = filled(deployed, waiting)
            with asgi_server(deployed.environment) as web:
                yield from beside_the_empty_view(web, deployed, jobs, f"{waiting:,} waiting")


def filled(deployed: Deployment, waiting: int) -> OpenJobs:
    """Let so many jobs of the key's organization wait, and one be rendered."""
    command = [sys.executable, "-c", FILL, str(waiting)]
    environment = deployed.environment
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return OpenJobs(*json.loads(done.stdout))


def beside_the_empty_view(web: WebServer, deployed: Deployment, jobs: OpenJobs, queue: str) -> Iterator[Row]:
    key = deployed.key
    watch = authorized("GET", f"/v1/jobs/{jobs.rendered}/events", key)
    with listeners(web.port, watch, SOME_LISTENERS):
        empty = load(web.port, authorized("GET", "/v1/empty", key)).rate
        yield Row(f"empty throttled view, {queue}", empty, "1/s")
        for name, requests in {
            "GET one queued job": [authorized("GET", f"/v1/jobs/{jobs.queued}", key)],
            "GET one job in work": [authorized("GET", f"/v1/jobs/{jobs.rendered}", key)],
            "GET a list of 20 open jobs": [authorized("GET", "/v1/jobs", key)],
            # They come last, since they make the queue longer.
            "POST a job, portrait and speech": [creation(each) for each in deployed.keys],
        }.items():
            loaded = load(web.port, *requests)
            yield from figures(f"{name}, {queue}", loaded)
            yield Row(f"{name}, {queue}, of the empty view's", 100 * loaded.rate / empty, "%")
