"""Which version of the spec a job is sent in, by what the render workers at hand read.

Any of an engine's workers may take what is sent, so a job that can do with an old version gets the newest
one that all of them read. A job that can't waits until one reads what it needs; where another takes it
first, that one hands it back.

Where no worker is there to go by, a job is sent in the newest version. A worker of the previous release that
comes for it hands it back untouched, and a job of which nothing is saved is bound to no version: it is sent
again in the one that this worker reads.
"""

from dataclasses import dataclass

from django.db.models import Q
from redis import Redis

from gpu_worker.contract import coordination
from gpu_worker.contract.engines import EngineName
from gpu_worker.contract.spec import OLDEST_SPEC_VERSION, SPEC_VERSION
from jobs.models import Job


@dataclass(frozen=True)
class ReadableVersions:
    """What the workers of an engine read.

    Attributes:
        by_all: The newest version that all of them read.
        by_any: The newest that one of them reads.
    """

    by_all: int
    by_any: int

    def version_for(self, job: Job) -> int:
        """In which version the job is sent."""
        return max(self.by_all, needed_version(job))


def read_versions(redis: Redis, engine: EngineName) -> ReadableVersions:
    """What the workers' heartbeats name; where there is none, those that come are of this release."""
    workers = coordination.read_workers(redis)
    versions = [min(worker.spec_version, SPEC_VERSION) for worker in workers if worker.engine == engine]
    return ReadableVersions(min(versions, default=SPEC_VERSION), max(versions, default=SPEC_VERSION))


def needed_version(job: Job) -> int:
    """The oldest version that can say what the job goes on with, and the crop that was requested."""
    is_bound = job.has_saved_work and job.sampling is not None
    return SPEC_VERSION if is_bound or job.crop is not None else OLDEST_SPEC_VERSION


def sendable_in(version: int) -> Q:
    """The jobs whose needed version is `version` or older."""
    if version > OLDEST_SPEC_VERSION:
        return Q()
    return Q(crop__isnull=True) & (Q(sampling__isnull=True) | Q(window_prefixes=[], step_prefix=""))
