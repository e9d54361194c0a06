"""What RunPod reports of an account, by its REST API, version 2. Nothing is changed there.

The fields are those of https://api.runpod.io/v2/openapi.json, as far as a declaration speaks of them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3

from gpu_worker.endpoint.errors import ReportError

ADDRESS = "https://api.runpod.io"
TIMEOUT = urllib3.Timeout(connect=10, read=30)

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Volume:
    id: str
    name: str
    data_center: str
    size_gb: int


@dataclass(frozen=True)
class Container:
    """What a template or an endpoint runs. Its environment may hold secrets in plain text: never show it."""

    image: str
    disk_gb: int | None
    environment: dict[str, str]


@dataclass(frozen=True)
class Template:
    id: str
    name: str
    serverless: bool
    container: Container


@dataclass(frozen=True)
class Endpoint:
    id: str
    name: str
    container: Container
    type: str
    pools: tuple[str, ...]
    excluded_gpus: frozenset[str]
    gpus_per_worker: int
    min_cuda_version: str | None
    workers: dict[str, int]
    scaling: dict[str, Any]
    execution_ms: int
    flashboot: str
    volumes: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The account.

    Attributes:
        gpu_pools: The serverless pool of each GPU type that is in one.
        secrets: Names of the secrets; None where the key may not read them.
    """

    volumes: tuple[Volume, ...]
    templates: tuple[Template, ...]
    endpoints: tuple[Endpoint, ...]
    gpu_pools: dict[str, str]
    secrets: frozenset[str] | None


class Account:
    """Reads an account.

    Args:
        key: An API key that may read volumes, templates, endpoints and the catalog; and secrets, if it may.
        address: Where the API is.
    """

    def __init__(self, key: str, address: str = ADDRESS) -> None:
        self._address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    def report(self) -> Report:
        """Raises: ReportError: RunPod doesn't report, or something else than it documents."""
        gpus = self._list("/v2/catalog/gpus", "gpus", lambda data: (data["id"], data["pool"]))
        return Report(
            volumes=self._list("/v2/network-volumes", "networkVolumes", _volume),
            templates=self._list("/v2/templates", "templates", _template),
            endpoints=self._list("/v2/serverless", "endpoints", _endpoint),
            gpu_pools={gpu: pool for gpu, pool in gpus if pool is not None},
            secrets=self._secrets(),
        )

    def _secrets(self) -> frozenset[str] | None:
        response = self._get("/v2/account/secrets")
        if response.status == 403:
            return None
        return frozenset(_items(response, "/v2/account/secrets", "secrets", lambda data: str(data["name"])))

    def _list(self, path: str, name: str, make: Callable[[Any], Kind]) -> tuple[Kind, ...]:
        return _items(self._get(path), path, name, make)

    def _get(self, path: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request("GET", self._address + path, headers=self._headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise ReportError(f"{self._address} can't be reached: {type(error).__name__}.") from error


def _items(
    response: urllib3.BaseHTTPResponse, path: str, name: str, make: Callable[[Any], Kind]
) -> tuple[Kind, ...]:
    if response.status != 200:
        raise ReportError(
            f"{path} is answered with status {response.status}{ADVICE.get(response.status, '')}."
        )
    try:
        return tuple(make(data) for data in json.loads(response.data)[name])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Neither the answer nor what is wrong with it: either may hold a secret.
        raise ReportError(f"{path} is answered with something else than RunPod documents.") from error


ADVICE = {
    401: ": is RUNPOD_API_KEY right?",
    403: ": the key may not read this",
    429: ": try again in a minute",
}


def _volume(data: Any) -> Volume:
    return Volume(data["id"], data["name"], data["dataCenter"], int(data["size"]))


def _template(data: Any) -> Template:
    return Template(data["id"], data["name"], bool(data["serverless"]), _container(data))


def _endpoint(data: Any) -> Endpoint:
    gpu = data.get("gpu") or {}
    return Endpoint(
        id=data["id"],
        name=data["name"],
        container=_container(data),
        type=data.get("type", "QUEUE"),
        pools=tuple(gpu.get("pools", ())),
        excluded_gpus=frozenset(gpu.get("excludedTypes", ())),
        gpus_per_worker=gpu.get("count", 1),
        min_cuda_version=gpu.get("minCudaVersion"),
        workers=dict(data["workers"]),
        scaling=dict(data["scaling"]),
        execution_ms=int(data["timeout"]),
        flashboot=data["flashboot"],
        volumes=tuple(data["networkVolumes"]),
    )


def _container(data: Any) -> Container:
    return Container(data.get("image", ""), data.get("disk"), dict(data.get("env") or {}))
