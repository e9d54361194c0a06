"""Requests to RunPod: the health of an endpoint, and one more run of it.

The address is the operator's, so that nothing guards where it leads; but nothing takes longer than a few
seconds. The key travels in a header and nowhere else: an error names the host and a status.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from avatar_api.common import outbound
from gpu_worker.contract.turns import EXECUTION_SECONDS, TURN_SECONDS

TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 64 * 1024
# From asking to the end of the turn, since RunPod drops a request after its `ttl` even in the hands of a
# worker. It is RunPod's own default: queueing for want of a GPU may take hours, and nobody asks twice.
LIFETIME_SECONDS = 24 * 3600


class RunPodError(Exception):
    """RunPod refused or failed a request; the text contains nothing secret."""


@dataclass(frozen=True)
class Workers:
    """How many workers of an endpoint there are, in RunPod's words."""

    idle: int = 0
    initializing: int = 0
    ready: int = 0
    running: int = 0
    throttled: int = 0
    unhealthy: int = 0


@dataclass(frozen=True)
class Health:
    """An endpoint as RunPod sees it.

    Attributes:
        in_queue: Requests that no worker has taken.
        in_progress: Requests in the hands of a worker: turns.
    """

    in_queue: int
    in_progress: int
    workers: Workers


@dataclass(frozen=True)
class RunPodEndpoint:
    """An endpoint whose workers can be woken."""

    base_url: str
    id: str
    key: str = field(repr=False)

    def health(self) -> Health:
        """Raises: RunPodError: it doesn't say."""
        return _health(self._exchange("GET", "health"))

    def run(self) -> None:
        """Request a turn of a worker.

        Raises:
            RunPodError: RunPod refused, or didn't answer in time; then it may have taken it all the same.
        """
        self._exchange(
            "POST",
            "run",
            {
                "input": {"seconds": TURN_SECONDS},
                "policy": {"executionTimeout": EXECUTION_SECONDS * 1000, "ttl": LIFETIME_SECONDS * 1000},
            },
        )

    def _exchange(self, method: str, operation: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = outbound.request(
                method,
                f"{self.base_url}/v2/{self.id}/{operation}",
                {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
                TIMEOUT_SECONDS,
                rules=outbound.operators_rules(),
                max_bytes=MAX_ANSWER_BYTES,
                body=None if body is None else json.dumps(body).encode(),
            )
        except outbound.OutboundError as error:
            raise RunPodError(f"/{operation}: {error}") from error
        if not 200 <= answer.status < 300:
            raise RunPodError(f"/{operation} is answered with status {answer.status}.")
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise RunPodError(f"/{operation} isn't answered with JSON.") from error


def _health(data: Any) -> Health:
    try:
        jobs, workers = data["jobs"], data["workers"]
        return Health(
            in_queue=int(jobs["inQueue"]),
            in_progress=int(jobs["inProgress"]),
            workers=Workers(**{name: int(workers.get(name, 0)) for name in Workers.__dataclass_fields__}),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunPodError("/health is answered with something else.") from error


def configured() -> RunPodEndpoint | None:
    """The one of this deployment, if it has one."""
    if not settings.RUNPOD_ENDPOINT_ID:
        return None
    return RunPodEndpoint(settings.RUNPOD_BASE_URL, settings.RUNPOD_ENDPOINT_ID, settings.RUNPOD_API_KEY)
