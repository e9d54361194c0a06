"""Counts what code on torch's `meta` device would hold, move and launch on a GPU.

Bytes moved are reads and writes of every kernel except matrix products, attention and convolutions, whose
time is counted by their operations. A kernel is whatever isn't a view or a mere allocation. Attention counts
as one fused kernel (its output and the log-sum-exp of its rows), RMSNorm as another, which is what a GPU
runs; workspaces of cuBLAS and cuDNN are not counted.
"""

import math
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

_PRODUCTS = (
    "mm",
    "addmm",
    "addmm_",
    "bmm",
    "baddbmm",
    "_scaled_mm",
    "_grouped_mm",
    "_scaled_grouped_mm",
    "convolution",
    "_scaled_dot_product_flash_attention",
)
_ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")
_WRITE_ONLY = ("copy_", "fill_", "zero_")


@dataclass
class Trace:
    """What was counted.

    Attributes:
        peak_bytes: The most that was held at once of what came to be while counting.
        peak_at: The operator whose result made it the most.
        moved_bytes: Reads and writes of everything except products, attention and convolutions.
        product_bytes: Reads and writes of those.
        kernels: How many were launched, products included.
        moved_by: Bytes moved, by the operator's name.
        launched_by: Kernels, by the operator's name.
    """

    peak_bytes: int = 0
    peak_at: str = ""
    moved_bytes: int = 0
    product_bytes: int = 0
    kernels: int = 0
    moved_by: Counter[str] = field(default_factory=Counter)
    launched_by: Counter[str] = field(default_factory=Counter)


class Tracker:
    """Counts between `with` and its end; tensors made before are weights and inputs, and count for nothing.

    Attributes:
        trace: What was counted since the last `restart`.
    """

    def __init__(self) -> None:
        self.trace = Trace()
        self._live = 0
        self._known = WeakIdKeyDictionary()
        self._modes = (_FusedKernels(), _Dispatch(self._count))

    def __enter__(self) -> Self:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(kind, error, traceback)

    def restart(self) -> int:
        """Count anew, from what is held now; returns its bytes, which the new peak includes."""
        self.trace = Trace(peak_bytes=self._live)
        return self._live

    def _count(
        self, operator: torch._ops.OpOverload, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> None:
        name = operator._schema.name.removeprefix("aten::")
        storages = {tensor.untyped_storage()._cdata for tensor in inputs}
        fresh = [tensor for tensor in outputs if tensor.untyped_storage()._cdata not in storages]
        for tensor in fresh:
            self._hold(tensor.untyped_storage(), f"{name} {tuple(tensor.shape)} {tensor.dtype}")
        if name in _ALLOCATIONS or not (fresh or operator._schema.is_mutable):
            return
        trace, moved = self.trace, _moved_bytes(operator, name, inputs, outputs)
        trace.kernels += 1
        trace.launched_by[name] += 1
        if name in _PRODUCTS:
            trace.product_bytes += moved
        else:
            trace.moved_bytes += moved
            trace.moved_by[name] += moved

    def _hold(self, storage: torch.UntypedStorage, result: str) -> None:
        if storage in self._known:
            return
        self._known[storage] = True
        self._live += storage.nbytes()
        if self._live > self.trace.peak_bytes:
            self.trace.peak_bytes, self.trace.peak_at = self._live, result
        weakref.finalize(storage, self._release, storage.nbytes())

    def _release(self, count: int) -> None:
        self._live -= count


class _Dispatch(TorchDispatchMode):
    """Hands every operator on meta tensors to the tracker; a wrapper tensor's work arrives as its parts."""

    def __init__(
        self, count: Callable[[torch._ops.OpOverload, Sequence[Tensor], Sequence[Tensor]], None]
    ) -> None:
        super().__init__()
        self._count = count

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        result = func(*args, **(kwargs or {}))
        inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(result))
        wrapped = any(is_traceable_wrapper_subclass(tensor) for tensor in [*inputs, *outputs])
        if not wrapped and any(tensor.is_meta for tensor in [*inputs, *outputs]):
            self._count(func, inputs, outputs)
        return result


class _FusedKernels(TorchFunctionMode):
    """Attention and RMSNorm as a GPU runs them: on `meta`, torch would take them apart."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is F.rms_norm and _is_fused(*args, **kwargs):
            return _rms_norm(args[0], kwargs.get("weight", args[2] if len(args) > 2 else None))
        return func(*args, **kwargs)


def _attention(query: Tensor, key: Tensor, value: Tensor, *_args: object, **_kwargs: object) -> Tensor:
    return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]


def _is_fused(
    hidden_states: Tensor, _shape: list[int], weight: Tensor | None = None, eps: float | None = None
) -> bool:
    """A GPU takes RMSNorm apart, too, where its weights have another type than what it norms."""
    return weight is None or weight.dtype == hidden_states.dtype


@torch.library.custom_op("tracing::rms_norm", mutates_args=())
def _rms_norm(hidden_states: Tensor, weight: Tensor | None) -> Tensor:
    return torch.empty_like(hidden_states)


@_rms_norm.register_fake
def _(hidden_states: Tensor, weight: Tensor | None) -> Tensor:
    return torch.empty_like(hidden_states)


def _tensors(tree: object) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _moved_bytes(
    operator: torch._ops.OpOverload, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> int:
    """Reads of the inputs and writes of the outputs; what is changed in place is both, unless overwritten."""
    if name in _WRITE_ONLY:
        return sum(map(_nbytes, [*inputs[1:], inputs[0]]))
    written_unreturned = operator._schema.is_mutable and not outputs
    return sum(map(_nbytes, inputs)) + (0 if written_unreturned else sum(map(_nbytes, outputs)))


def _nbytes(tensor: Tensor) -> int:
    """Bytes of a tensor, what it repeats counted once."""
    if not tensor.is_meta:
        return 0
    own = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(own) * tensor.itemsize
