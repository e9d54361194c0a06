"""Inputs rounded to float8 on the fly: the result is near the exact product, and always a number."""

import torch
from torch import nn

from InfiniteTalk.checkpoints.precision import float8_weight, quantize_activations, quantize_rows


def float8_layer(exact: nn.Linear) -> nn.Linear:
    layer = nn.Linear(exact.in_features, exact.out_features, dtype=torch.bfloat16).requires_grad_(False)
    weight, scale = quantize_rows(exact.weight.detach())
    rounded = float8_weight(weight, scale, torch.bfloat16, float8_activations=True)
    layer.weight = nn.Parameter(rounded, requires_grad=False)
    layer.bias.copy_(exact.bias.detach())
    return layer


@torch.no_grad()
def test_a_layer_gives_nearly_the_exact_product() -> None:
    torch.manual_seed(0)
    exact, inputs = nn.Linear(64, 48), torch.randn(1, 40, 64)
    expected = exact(inputs)

    output = float8_layer(exact)(inputs.bfloat16()).float()

    assert (output - expected).norm() / expected.norm() < 0.05


def test_a_row_of_zeros_stays_zeros() -> None:
    rows = torch.zeros(2, 32, dtype=torch.bfloat16)
    rows[1] = 1e-3
    values, scale = quantize_activations(rows)

    restored = values.float() * scale
    assert torch.equal(restored[0], torch.zeros(32))
    assert torch.allclose(restored[1], rows[1].float())
