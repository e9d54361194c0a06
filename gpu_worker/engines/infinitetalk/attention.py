"""Which attention kernel the transformer computes with: the fastest that this GPU has and that is right.

Kernels come from the volume, where `gpu_worker.model_store kernels` put them, or from an installed package.
Each is compared with torch's own attention before it is used; nothing is fetched from a network.
"""

import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.attention_dispatch import attention_backend, dispatch_attention_fn
from huggingface_hub import constants

from gpu_worker.model_store.kernels import find_kernel
from gpu_worker.model_store.sources import FLASH_ATTENTION_3, SAGE_ATTENTION

log = logging.getLogger(__name__)

NATIVE = "native"
"""torch's own scaled dot product attention: always there, always right."""
LARGEST_ERROR = 0.1
"""Of a product, relative to its norm. Kernels in 8 bits stay below 0.05; zeros have 1, NaN none at all."""
HEADS, HEAD_WIDTH = 2, 128
LENGTHS = ((1040, 1040), (1040, 257), (1040, 32))
"""Queries and keys that are compared: of the video itself, of a picture, of speech."""


class UnusableKernelError(Exception):
    """A kernel that can't be used here; says why."""


@dataclass(frozen=True)
class Candidate:
    """A kernel beside torch's own.

    Attributes:
        backend: diffusers' name of it.
        capabilities: The GPU generations that it is made for.
        repo: Where on the hub it comes from; None for an installed package.
    """

    backend: str
    capabilities: frozenset[tuple[int, int]]
    repo: str | None


_AMPERE_ON = frozenset({(8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (12, 0)})
_HOPPER = frozenset({(9, 0)})
CANDIDATES = (
    Candidate("sage_hub", _AMPERE_ON, SAGE_ATTENTION.repo),
    Candidate("sage", _AMPERE_ON, None),
    Candidate("_flash_3_hub", _HOPPER, FLASH_ATTENTION_3.repo),
    Candidate("_flash_3", _HOPPER, None),
)
"""Fastest first. FlashAttention 2 isn't among them: torch's own attention is it."""


def choose_backend(device: torch.device, store: Path) -> str:
    """The fastest kernel that is there and agrees with torch's own; only a GPU has a choice."""
    if device.type != "cuda":
        return NATIVE
    capability = torch.cuda.get_device_capability(device)
    candidates = (candidate for candidate in CANDIDATES if capability in candidate.capabilities)
    return first_that_agrees(candidates, device, store)


def first_that_agrees(candidates: Iterable[Candidate], device: torch.device, store: Path) -> str:
    """The first candidate that can be used; a line in the log for each that can't."""
    for candidate in candidates:
        try:
            _require_usable(candidate, device, store)
        except Exception as error:  # Kernels are others' code and raise what they like.
            log.warning("attention %s is not used: %s", candidate.backend, error)
        else:
            log.info("attention %s is used", candidate.backend)
            return candidate.backend
    return NATIVE


def _require_usable(candidate: Candidate, device: torch.device, store: Path) -> None:
    """Load a candidate and compare it with torch's own attention.

    Raises:
        UnusableKernelError: It isn't there, or computes something else.
        ModelStoreError: Its files are not those that its lock names.
    """
    if candidate.repo is not None:
        _point_to_volume(candidate.repo, store)
    for queries, keys in LENGTHS:
        error = relative_error(candidate.backend, queries, keys, device)
        if not error <= LARGEST_ERROR:  # NaN isn't, either.
            raise UnusableKernelError(f"of {queries} x {keys} tokens its result is off by {error:.3g}")


def relative_error(backend: str, queries: int, keys: int, device: torch.device) -> float:
    """How far a backend's product is from torch's own, relative to its norm."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, length, HEADS, HEAD_WIDTH, generator=generator).to(device, torch.bfloat16)
        for length in (queries, keys, keys)
    )
    products = []
    for name in (NATIVE, backend):
        with torch.no_grad(), attention_backend(name):
            products.append(dispatch_attention_fn(query, key, value).float())
    expected, actual = products
    return float((actual - expected).norm() / expected.norm())


def _point_to_volume(repo: str, store: Path) -> None:
    """Let the `kernels` package take a kernel from the volume.

    Raises:
        UnusableKernelError: It isn't there, or the hub would be asked all the same.
        ModelStoreError: Its files are not those that its lock names.
    """
    if not constants.HF_HUB_OFFLINE:
        raise UnusableKernelError("kernels are loaded with HF_HUB_OFFLINE=1 only")
    folder = find_kernel(store, repo)
    if folder is None:
        raise UnusableKernelError("it is not on the volume; gpu_worker/init_storage.sh puts it there")
    sys.dont_write_bytecode = True  # What lies beside a kernel would differ from its lock.
    os.environ["LOCAL_KERNELS"] = f"{repo}={folder}"
