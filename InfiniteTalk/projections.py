"""Linear layers that share an input, with what a LoRA adds beside them.

Layers with one input round it to float8 once and take one narrow product for all their LoRAs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from InfiniteTalk.checkpoints.precision import Float8ActivationWeight, float8_product, quantize_activations


@dataclass(frozen=True)
class LinearBranch:
    """What is added to the output of a linear layer: `(x @ down.T) @ up.T + x @ full.T`.

    Attributes:
        down: `[rank, in]`, or None.
        up: `[out, rank]`, the scale in it.
        full: `[out, in]`: a difference of the whole matrix, or None.
        shared_down: `[layers * rank, in]`: the `down` of all layers with this input; only in the first.
    """

    down: Tensor | None = None
    up: Tensor | None = None
    full: Tensor | None = None
    shared_down: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the matrices are."""
        return next(tensor.device for tensor in (self.down, self.full) if tensor is not None)

    def to(self, device: torch.device) -> "LinearBranch":
        """The same on another device."""
        tensors = (self.down, self.up, self.full, self.shared_down)
        return LinearBranch(*(None if tensor is None else tensor.to(device) for tensor in tensors))

    def add_to(self, output: Tensor, hidden_states: Tensor, narrow: Tensor | None = None) -> None:
        """Add to output `[..., out]` in place; `narrow` is `hidden_states @ down.T` if it is known."""
        outputs, inputs = output.view(-1, output.shape[-1]), hidden_states.flatten(0, -2).to(output.dtype)
        if self.down is not None and self.up is not None:
            narrow = F.linear(inputs, self.down) if narrow is None else narrow.flatten(0, -2)
            outputs.addmm_(narrow, self.up.T)
        if self.full is not None:
            outputs.addmm_(inputs, self.full.T)


class AdaptableLinear(nn.Linear):
    """A linear layer to whose output a branch is added; a class instead of a hook, because it compiles."""

    branch: LinearBranch | None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear has
        output = super().forward(input)
        branch = self.branch_on(output.device)
        if branch is not None:
            branch.add_to(output, input)
        return output

    def branch_on(self, device: torch.device) -> LinearBranch | None:
        """The branch; it follows the layer's input to its device and stays there."""
        if self.branch is not None and self.branch.device != device:
            self.branch = self.branch.to(device)
        return self.branch


def make_adaptable(layer: nn.Linear) -> AdaptableLinear:
    """Give a layer room for a branch, in place: whoever holds the layer holds it still."""
    if not isinstance(layer, AdaptableLinear):
        layer.__class__ = AdaptableLinear
        layer.branch = None  # type: ignore[assignment]
    return layer  # type: ignore[return-value]


def project_together(hidden_states: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """The outputs of linear layers that have their input `[..., in]` in common."""
    if not all(_can_share(layer, hidden_states) for layer in layers):
        return [layer(hidden_states) for layer in layers]
    outputs = _base_outputs(hidden_states, layers)
    branches = [_branch(layer, hidden_states.device) for layer in layers]
    narrow = _narrow_products(hidden_states, branches)
    for branch, output, own in zip(branches, outputs, narrow, strict=True):
        if branch is not None:
            branch.add_to(output, hidden_states, own)
    return outputs


def _branch(layer: nn.Module, device: torch.device) -> LinearBranch | None:
    return layer.branch_on(device) if isinstance(layer, AdaptableLinear) else None


def _narrow_products(
    hidden_states: Tensor, branches: Sequence[LinearBranch | None]
) -> Sequence[Tensor | None]:
    shared = None if branches[0] is None else branches[0].shared_down
    if shared is None:
        return [None] * len(branches)
    return F.linear(hidden_states.to(shared.dtype), shared).chunk(len(branches), dim=-1)


def _can_share(layer: nn.Module, hidden_states: Tensor) -> bool:
    """Whether a layer is no more than its weights: offloading fetches them when it is called."""
    plain = type(layer) in (nn.Linear, AdaptableLinear) and not hasattr(layer, "_diffusers_hook")
    return plain and layer.weight.device == hidden_states.device


def _base_outputs(hidden_states: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    if not all(isinstance(layer.weight, Float8ActivationWeight) for layer in layers):
        return [F.linear(hidden_states, layer.weight, layer.bias) for layer in layers]  # type: ignore[arg-type]
    values, scale = quantize_activations(hidden_states.flatten(0, -2))
    shape = hidden_states.shape[:-1]
    products = [float8_product(values, scale, layer.weight, layer.bias) for layer in layers]  # type: ignore[arg-type]
    return [product.view(*shape, -1) for product in products]
