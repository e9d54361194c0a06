"""In which number type each weight is kept, and 8-bit weights with one scale a row.

`bf16`: the transformer and T5 in bfloat16. `fp8`: the matrices inside their blocks in float8, which halves
them. In both, CLIP stays in float16, VAE and wav2vec 2.0 in float32, and so do the transformer's norms, time
embedding and modulation tables, which cost little and count much.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import torch
from torchao.float8.inference import Float8MMConfig
from torchao.quantization import Float8Tensor, PerRow
from torchao.quantization.quantize_.workflows import QuantizeTensorToFloat8Kwargs

# A float8 weight is stored as `name.weight` with its scales `name.weight_scale`; the value is their product.
SCALE_SUFFIX = "_scale"
FLOAT8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(FLOAT8).max
_SMALLEST_SCALE = 1e-30  # of a row of zeros, which would be 0/0

_BLOCK_MATRIX = re.compile(r"(blocks|encoder\.block)\.\d+\..+\.weight")


class Precision(StrEnum):
    """How the large matrices of a prepared checkpoint are stored."""

    BF16 = "bf16"
    FP8 = "fp8"


def is_block_matrix(key: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight of the transformer or T5 is one of the matrices that `fp8` is for.

    Those are the linear layers inside the blocks: 98 % of the transformer. T5's position bias is a table.
    """
    return len(shape) == 2 and "relative_attention_bias" not in key and bool(_BLOCK_MATRIX.fullmatch(key))


def is_kept_in_float32(key: str, modules: Iterable[str]) -> bool:
    """Whether a weight belongs to one of the modules (by the names in its path) that are kept in float32."""
    return not set(modules).isdisjoint(key.split("."))


def stored(
    key: str, tensor: torch.Tensor, precision: Precision, float32_modules: Iterable[str] = ()
) -> dict[str, torch.Tensor]:
    """One weight of the transformer or of T5 as a prepared checkpoint holds it."""
    if precision is Precision.FP8 and is_block_matrix(key, tuple(tensor.shape)):
        weight, scale = quantize_rows(tensor)
        return {key: weight, key + SCALE_SUFFIX: scale}
    dtype = torch.float32 if is_kept_in_float32(key, float32_modules) else torch.bfloat16
    return {key: tensor.to(dtype)}


def quantize_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds a matrix to float8 e4m3, each row scaled so that its largest value just fits.

    Args:
        weight: `[out, in]`.

    Returns:
        float8 `[out, in]` and the float32 scale `[out, 1]`; their product is the weight again.
    """
    weight = weight.float()
    # A row of zeros would be 0/0; with any other scale it stays zeros.
    largest = weight.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    scale = largest / torch.finfo(FLOAT8).max
    return (weight / scale).to(FLOAT8), scale


def float8_weight(
    weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype, *, float8_activations: bool = False
) -> torch.Tensor:
    """Makes a stored float8 matrix a weight that `torch.nn.Linear` computes with.

    Args:
        weight: float8 `[out, in]`.
        scale: float32 `[out, 1]`.
        dtype: What the layer takes and gives.
        float8_activations: Also round the layer's input, row by row, and multiply in float8. Twice as fast on
            GPUs with float8 units (Ada, Hopper and later), less exact. Otherwise the weight is expanded for
            each product.
    """
    activations = QuantizeTensorToFloat8Kwargs(FLOAT8, PerRow()) if float8_activations else None
    kind = Float8ActivationWeight if float8_activations else Float8Tensor
    return kind(
        weight,
        scale,
        block_size=[1, weight.shape[1]],
        mm_config=Float8MMConfig(use_fast_accum=True),
        act_quant_kwargs=activations,
        dtype=dtype,
    )


class Float8ActivationWeight(Float8Tensor):
    """A float8 weight whose layer rounds its input in three passes, where torchao takes nine."""


@Float8ActivationWeight.implements(torch.ops.aten.linear.default)
@Float8ActivationWeight.implements_torch_function(torch.nn.functional.linear)
def _float8_linear(
    _function: Any, _types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> torch.Tensor:
    hidden_states, weight, bias = (*args, kwargs.get("bias"))[:3]
    values, scale = quantize_activations(hidden_states.flatten(0, -2))
    return float8_product(values, scale, weight, bias).view(*hidden_states.shape[:-1], -1)


def quantize_activations(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rounds a layer's input to float8 e4m3, each row scaled so that its largest value just fits.

    Nothing of the rows' size is held in float32: a GPU divides and rounds value by value.

    Args:
        rows: `[n, in]`.

    Returns:
        float8 `[n, in]` and the float32 scale `[n, 1]`; a row of zeros stays zeros.
    """
    if torch.compiler.is_compiling():  # which fuses all of it and has no code for a norm to infinity
        scale = rows.abs().amax(dim=1, keepdim=True).float() / _LARGEST + _SMALLEST_SCALE
        return (rows.float() / scale).to(FLOAT8), scale
    largest = torch.linalg.vector_norm(rows, float("inf"), dim=1, keepdim=True, dtype=torch.float32)
    scale = torch.add(torch.tensor(_SMALLEST_SCALE), largest, alpha=1 / _LARGEST)  # one kernel, not two
    return torch.div(rows, scale, out=torch.empty_like(rows, dtype=FLOAT8)), scale


def float8_product(
    values: torch.Tensor, scale: torch.Tensor, weight: Float8Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """The product `[n, out]` of rows from `quantize_activations` and a float8 weight, plus the bias."""
    return torch._scaled_mm(
        values,
        weight.qdata.t(),
        scale_a=scale,
        scale_b=weight.scale.t(),
        bias=bias,
        out_dtype=weight.dtype,
        use_fast_accum=True,
    )


def is_float8_weight(tensor: torch.Tensor) -> bool:
    """Whether a layer's weight came from `float8_weight`."""
    return isinstance(tensor, Float8Tensor)
