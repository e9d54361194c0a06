"""A device that stands in for a GPU: torch's `meta`, held to CUDA's rules.

Shapes, number types and devices are those of a render on a GPU, and the published sizes take no memory. What
`meta` is lenient about, or can't do at all, is settled here: tensors of two devices must not meet in an
operation, and what comes back to the host is ones.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gpu_worker.engines.infinitetalk.devices import DeviceMemory

aten = torch.ops.aten

COPIES = {aten._to_copy.default, aten.copy_.default}
# CUDA takes indices from the host.
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}


@dataclass
class StandInGpu:
    """A GPU for `InfiniteTalkEngine`.

    Attributes:
        free: Bytes of memory that nothing uses.
        multiplies_float8: As of Ada and later.
    """

    free: int = 80 * 2**30
    multiplies_float8: bool = True
    torch_device = torch.device("meta")
    name = "stand-in"
    dtype = torch.bfloat16
    has_streams = False

    def memory(self) -> DeviceMemory:
        return DeviceMemory(self.free, 80 * 2**30, 0)

    def utilisation(self) -> float:
        return 0.5

    def reset_peak(self) -> None:
        """Nothing is counted."""

    def empty_cache(self) -> None:
        """Nothing is kept."""


class CudaRules(TorchDispatchMode):
    """Refuses operations on tensors of both devices and lets results come to the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        on_gpu = any(tensor.is_meta for tensor in tensors)
        if on_gpu and func not in COPIES | INDEXED:
            self._require_one_device(func, tensors)
        if on_gpu and func is aten._local_scalar_dense.default:
            return torch.ones((), dtype=args[0].dtype).item()
        if on_gpu and func is aten._to_copy.default and _is_host(kwargs.get("device")):
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and args[1].is_meta and not args[0].is_meta:
            return args[0].fill_(1)
        return func(*args, **kwargs)

    def _require_one_device(self, func: Any, tensors: list[torch.Tensor]) -> None:
        on_host = [tensor for tensor in tensors if not tensor.is_meta and tensor.dim() > 0]
        if on_host:
            raise RuntimeError(
                f"{func}: expected all tensors to be on the GPU, found {on_host[0].shape} on the host"
            )


def _is_host(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cpu"
