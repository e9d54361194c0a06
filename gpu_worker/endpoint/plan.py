"""What is left to do until RunPod runs what is declared: steps, each with the request that takes it.

A step never holds what RunPod reports of an environment, since others may have written secrets there.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar

from gpu_worker.endpoint import declaration, report
from gpu_worker.endpoint.declaration import Declaration
from gpu_worker.endpoint.errors import DeclarationError
from gpu_worker.endpoint.report import Container, Report

MISSING = "doesn't exist"


@dataclass(frozen=True)
class Request:
    """A request to RunPod's REST API."""

    method: str
    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Something to do.

    Attributes:
        of: What differs, such as `endpoint avatar`.
        reasons: How it differs.
        request: What mends it; None where a person must.
    """

    of: str
    reasons: tuple[str, ...]
    request: Request | None = None


class Named(Protocol):
    @property
    def name(self) -> str: ...


Thing = TypeVar("Thing", bound=Named)


def steps(declared: Declaration, found: Report) -> list[Step]:
    """In the order in which to take them.

    Raises:
        DeclarationError: The account holds two things of a name that is declared, or has no such GPU.
    """
    volume = _named(declared.volume.name, "volumes", found.volumes)
    template = _named(declared.template.name, "templates", found.templates)
    endpoint = _named(declared.endpoint.name, "endpoints", found.endpoints)
    volume_id = volume.id if volume else f"<id of the volume {declared.volume.name}>"
    template_id = template.id if template else f"<id of the template {declared.template.name}>"
    wanted = _endpoint_body(declared, volume_id, found.gpu_pools)
    return [
        *_missing_secrets(declared.template, found.secrets),
        *_volume_steps(declared.volume, volume),
        *_template_steps(declared.template, template),
        *_endpoint_steps(declared, wanted, template_id, endpoint),
    ]


def _named(name: str, kind: str, things: Sequence[Thing]) -> Thing | None:
    # The console marks an endpoint that has FlashBoot at the end of its name.
    same = [thing for thing in things if thing.name.removesuffix(" -fb") == name]
    if len(same) > 1:
        raise DeclarationError(f"The account has {len(same)} {kind} named {name}: rename the others.")
    return same[0] if same else None


def _missing_secrets(template: declaration.Template, found: frozenset[str] | None) -> Iterator[Step]:
    """Their values go from a person's hands to RunPod's page and through no command line."""
    for name in sorted(template.secrets - found) if found is not None else ():
        yield Step(f"secret {name}", (f"{MISSING}: make it in RunPod's console, under Secrets",))


def _volume_steps(wanted: declaration.Volume, found: report.Volume | None) -> Iterator[Step]:
    of = f"volume {wanted.name}"
    if found is None:
        body = {"name": wanted.name, "size": wanted.size_gb, "dataCenter": wanted.data_center}
        yield Step(of, (MISSING,), Request("POST", "/v2/network-volumes", body))
        return
    if found.data_center != wanted.data_center:
        moved = f"lies in {found.data_center}, not in {wanted.data_center}, and can't be moved"
        yield Step(of, (f"{moved}: declare where it lies, or declare another name and prepare it anew",))
    if found.size_gb > wanted.size_gb:
        yield Step(of, (f"has {found.size_gb} GB, not {wanted.size_gb}, and can't shrink: declare its size",))
    if found.size_gb < wanted.size_gb:
        reason = _unlike("size", found.size_gb, wanted.size_gb)
        yield Step(of, (reason,), _patch("network-volumes", found.id, {"size": wanted.size_gb}))


def _template_steps(wanted: declaration.Template, found: report.Template | None) -> Iterator[Step]:
    of = f"template {wanted.name}"
    body = _container_body(wanted) | {"serverless": True}
    if found is None:
        plain = {"name": wanted.name, "startSsh": False, "startJupyter": False}
        yield Step(of, (MISSING,), Request("POST", "/v2/templates", plain | body))
        return
    reported = _reported_container(found.container) | {"serverless": found.serverless}
    yield from _mend(of, body, reported, "templates", found.id)


def _endpoint_steps(
    declared: Declaration, wanted: dict[str, Any], template_id: str, found: report.Endpoint | None
) -> Iterator[Step]:
    of = f"endpoint {declared.endpoint.name}"
    if found is None:
        first = {"name": declared.endpoint.name, "type": "QUEUE", "templateId": template_id}
        yield Step(of, (MISSING,), Request("POST", "/v2/serverless", first | wanted))
        return
    if found.type != "QUEUE":
        yield Step(of, (f"is of the type {found.type}, not QUEUE, for ever: remove it, and make it anew",))
    # RunPod copies the template into the endpoint when that is made, and never again.
    wanted = wanted | _container_body(declared.template)
    yield from _mend(of, wanted, _reported_endpoint(found), "serverless", found.id)


def _mend(
    of: str, wanted: dict[str, Any], reported: dict[str, Any], resource: str, identifier: str
) -> Iterator[Step]:
    """One request for everything that differs."""
    reasons = {name: list(_reasons(name, reported[name], value)) for name, value in wanted.items()}
    different = {name: value for name, value in wanted.items() if reasons[name]}
    if different:
        yield Step(of, tuple(chain(*reasons.values())), _patch(resource, identifier, different))


def _patch(resource: str, identifier: str, body: dict[str, Any]) -> Request:
    return Request("PATCH", f"/v2/{resource}/{identifier}", body)


def _reasons(name: str, found: Any, wanted: Any) -> Iterator[str]:
    """How what RunPod reports differs; of what isn't declared it may report more."""
    if name == "env":
        yield from _environment_reasons(found, wanted)
    elif isinstance(wanted, dict):
        for part, value in wanted.items():
            yield from _reasons(f"{name}.{part}", found.get(part), value)
    elif found != wanted:
        yield _unlike(name, found, wanted)


def _unlike(name: str, found: Any, wanted: Any) -> str:
    return f"{name} is {json.dumps(found)}, not {json.dumps(wanted)}"


def _environment_reasons(found: dict[str, str], wanted: dict[str, str]) -> Iterator[str]:
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield f"env.{name} is missing"
        elif name not in wanted:
            yield f"env.{name} isn't declared"
        elif found[name] != wanted[name]:
            yield f"env.{name} has another value"


def _endpoint_body(declared: Declaration, volume_id: str, gpu_pools: dict[str, str]) -> dict[str, Any]:
    """All that is declared of an endpoint but its container, as RunPod writes it."""
    endpoint = declared.endpoint
    return {
        "gpu": _gpu_body(endpoint, gpu_pools),
        "workers": {
            "min": endpoint.min_workers,
            "max": endpoint.max_workers,
            "idleTimeout": endpoint.idle_seconds,
        },
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": endpoint.queue_delay_seconds},
        "timeout": endpoint.execution_seconds * 1000,
        "flashboot": "FLASHBOOT" if endpoint.flashboot else "OFF",
        "networkVolumes": [volume_id],
    }


def _gpu_body(endpoint: declaration.Endpoint, gpu_pools: dict[str, str]) -> dict[str, Any]:
    """RunPod rents pools: a type of GPU is chosen by excluding the others of its pool."""
    for gpu in endpoint.gpus:
        if gpu not in gpu_pools:
            raise DeclarationError(f"endpoint.gpus: RunPod has no {gpu} for serverless workers.")
    pools = list(dict.fromkeys(gpu_pools[gpu] for gpu in endpoint.gpus))
    others = {gpu for gpu, pool in gpu_pools.items() if pool in pools} - set(endpoint.gpus)
    return {
        "pools": pools,
        "excludedTypes": sorted(others),
        "count": 1,
        "minCudaVersion": endpoint.min_cuda_version,
    }


def _container_body(template: declaration.Template) -> dict[str, Any]:
    return {"image": template.image, "disk": template.container_disk_gb, "env": template.environment}


def _reported_container(container: Container) -> dict[str, Any]:
    return {"image": container.image, "disk": container.disk_gb, "env": container.environment}


def _reported_endpoint(endpoint: report.Endpoint) -> dict[str, Any]:
    return _reported_container(endpoint.container) | {
        "gpu": {
            "pools": list(endpoint.pools),
            "excludedTypes": sorted(endpoint.excluded_gpus),
            "count": endpoint.gpus_per_worker,
            "minCudaVersion": endpoint.min_cuda_version,
        },
        "workers": endpoint.workers,
        "scaling": endpoint.scaling,
        "timeout": endpoint.execution_ms,
        "flashboot": endpoint.flashboot,
        "networkVolumes": list(endpoint.volumes),
    }
