"""Norms and sums, which read and write all tokens: computed in float32 without float32 copies."""

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.normalization import FP32LayerNorm
from torch import Tensor


def add(hidden_states: Tensor, output: Tensor) -> Tensor:
    """The sum, in the memory of `hidden_states` unless a gradient is wanted."""
    return hidden_states + output if torch.is_grad_enabled() else hidden_states.add_(output)


def _writes_narrow(hidden_states: Tensor) -> bool:
    """Whether a kernel's float32 result is to be rounded as it is written: into an `out`, without gradient.

    Compiled code does so of itself.
    """
    is_wide = hidden_states.dtype == torch.float32
    return not (is_wide or torch.compiler.is_compiling() or torch.is_grad_enabled())


def modulated_layer_norm(hidden_states: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """`LayerNorm(hidden_states) * scale + shift`; scale and shift [1, 1, d], float32."""
    return layer_norm(hidden_states, scale[0, 0], shift[0, 0], eps)


def layer_norm(hidden_states: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm computed in float32, given in the type of `hidden_states`; weight and bias [d], float32."""
    if not _writes_narrow(hidden_states):
        normed = F.layer_norm(hidden_states.float(), weight.shape, weight, bias, eps)
        return normed.type_as(hidden_states)
    # Both kernels convert value by value, so that no float32 copy is held; the first one rounds once more.
    normed = F.layer_norm(hidden_states, weight.shape, eps=eps)
    return torch.addcmul(bias, normed, weight, out=normed)


class PreciseLayerNorm(FP32LayerNorm):
    """Layer norm with float32 weights, without float32 copies of what it norms."""

    def forward(self, inputs: Tensor) -> Tensor:
        return layer_norm(inputs, self.weight.float(), self.bias.float(), self.eps)


def gated_sum(hidden_states: Tensor, output: Tensor, gate: Tensor) -> Tensor:
    """`hidden_states + gate * output`, in float32 because the gate [1, 1, d] is, and rounded once.

    Given the types as they are, a GPU converts value by value and holds no float32 copies of the two.
    """
    if not _writes_narrow(hidden_states):
        return torch.addcmul(hidden_states, output, gate).to(hidden_states.dtype)
    return torch.addcmul(hidden_states, output, gate, out=torch.empty_like(hidden_states))
