"""What an operator declares in a TOML file, read strictly: nothing unknown, nothing left out, no secret."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from gpu_worker.contract.turns import EXECUTION_SECONDS
from gpu_worker.endpoint.errors import DeclarationError

SERVERLESS_MOUNT = "/runpod-volume"
SECRET_REFERENCE = re.compile(r"\{\{ RUNPOD_SECRET_([A-Za-z0-9_-]+) \}\}")
# What lets its holder in somewhere; the other variables of a render worker may be read by anybody.
SECRETS = frozenset({"HF_TOKEN", "R2_ACCESS_KEY_ID", "R2_SECRET_ACCESS_KEY", "REDIS_URL"})
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Volume:
    """The network volume with the models."""

    name: str
    data_center: str
    size_gb: int
    mount_path: str


@dataclass(frozen=True)
class Template:
    """The container that workers run.

    Attributes:
        environment: Values by name; secrets as references to RunPod's.
    """

    name: str
    image: str
    container_disk_gb: int
    environment: dict[str, str]

    @property
    def secrets(self) -> set[str]:
        """Names of the RunPod secrets that it refers to."""
        found = (SECRET_REFERENCE.fullmatch(value) for value in self.environment.values())
        return {match[1] for match in found if match}


@dataclass(frozen=True)
class Endpoint:
    """How workers come and go."""

    name: str
    gpus: tuple[str, ...]
    min_cuda_version: str
    min_workers: int
    max_workers: int
    idle_seconds: int
    queue_delay_seconds: int
    execution_seconds: int
    flashboot: bool


@dataclass(frozen=True)
class Declaration:
    volume: Volume
    template: Template
    endpoint: Endpoint


def read(path: Path) -> Declaration:
    """Raises: DeclarationError: it isn't there, or says something that can't be."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DeclarationError(f"{path} can't be read: {error}") from error
    try:
        return parse(data)
    except DeclarationError as error:
        raise DeclarationError(f"{path}: {error}") from None


def parse(data: dict[str, Any]) -> Declaration:
    """Raises: DeclarationError: it says something that can't be."""
    tables = {"volume": Volume, "template": Template, "endpoint": Endpoint}
    _expect_names("", data, set(tables))
    declaration = Declaration(**{name: _table(kind, data[name], name) for name, kind in tables.items()})
    for problem in _problems(declaration):
        raise DeclarationError(problem)
    return declaration


def _table(kind: type, data: Any, name: str) -> Any:
    if not isinstance(data, dict):
        raise DeclarationError(f"{name} must be a table.")
    _expect_names(f"{name}.", data, {field.name for field in fields(kind)})
    return kind(
        **{field.name: _value(f"{name}.{field.name}", field.type, data[field.name]) for field in fields(kind)}
    )


def _expect_names(prefix: str, data: dict[str, Any], wanted: set[str]) -> None:
    for name in sorted(wanted - data.keys()):
        raise DeclarationError(f"{prefix}{name} is missing.")
    for name in sorted(data.keys() - wanted):
        raise DeclarationError(f"{prefix}{name} is unknown.")


def _value(name: str, kind: Any, data: Any) -> Any:
    """A value of the type that a field has, and of no other that looks like it."""
    if kind == tuple[str, ...]:
        if isinstance(data, list) and data and all(isinstance(item, str) for item in data):
            return tuple(data)
        raise DeclarationError(f"{name} must be a list of texts, and not empty.")
    if kind == dict[str, str]:
        if isinstance(data, dict) and all(isinstance(value, str) for value in data.values()):
            return data
        raise DeclarationError(f"{name} must be a table of texts.")
    if type(data) is not kind or data == "":
        raise DeclarationError(f"{name} must be {KINDS[kind]}.")
    if kind is int and data < 0:
        raise DeclarationError(f"{name} can't be negative.")
    return data


KINDS = {str: "a text, and not empty", int: "a whole number", bool: "true or false"}


def _problems(declaration: Declaration) -> Iterator[str]:
    endpoint, environment = declaration.endpoint, declaration.template.environment
    if declaration.volume.mount_path != SERVERLESS_MOUNT:
        yield f"volume.mount_path must be {SERVERLESS_MOUNT}, where RunPod mounts it in serverless workers."
    models = environment.get("MODEL_STORAGE_PATH", f"{SERVERLESS_MOUNT}/models")
    if not PurePosixPath(models).is_relative_to(declaration.volume.mount_path):
        yield f"MODEL_STORAGE_PATH must lie below {declaration.volume.mount_path}, on the volume."
    if not 0 <= endpoint.min_workers <= endpoint.max_workers or endpoint.max_workers < 1:
        yield "endpoint.max_workers must be 1 or more, and not below endpoint.min_workers."
    if endpoint.execution_seconds < EXECUTION_SECONDS:
        yield f"endpoint.execution_seconds must be {EXECUTION_SECONDS} or more, for a turn and handing back."
    if not 1 <= endpoint.idle_seconds <= 3600:
        yield "endpoint.idle_seconds must be 1 to 3600."
    if endpoint.queue_delay_seconds < 1:
        yield "endpoint.queue_delay_seconds must be 1 or more."
    if not re.fullmatch(r"\d+\.\d+", endpoint.min_cuda_version):
        yield "endpoint.min_cuda_version must be written as 13.0."
    yield from (problem for name, value in environment.items() for problem in _problems_of(name, value))


def _problems_of(name: str, value: str) -> Iterator[str]:
    """Without the value, which may be the very secret that doesn't belong there."""
    where = f"template.environment: {name}"
    if not VARIABLE.fullmatch(name):
        yield f"{where} is no name of a variable."
    if name.startswith("RUNPOD_"):
        yield f"{where} is RunPod's own, or the control side's."
    if (name in SECRETS or "RUNPOD_SECRET" in value) and not SECRET_REFERENCE.fullmatch(value):
        yield f"{where} must be written {{{{ RUNPOD_SECRET_name }}}}, and nothing beside it."
