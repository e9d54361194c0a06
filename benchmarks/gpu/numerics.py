"""6. What 8 bits change: through all blocks, and where a row holds nothing but zeros."""

import torch

from benchmarks.gpu import random_models
from benchmarks.gpu.setting import Setting
from InfiniteTalk.checkpoints.precision import float8_weight, quantize_rows

TITLE = "Numerics of 8 bits"
WIDTH = 256


@torch.no_grad()
def run(setting: Setting) -> None:
    """Compare the velocities, then multiply by and with rows of zeros."""
    exact: torch.Tensor | None = None
    arguments = random_models.inputs(setting, setting.sizes["480p"])
    for precision in random_models.PRECISIONS:
        with setting.attempt("velocity", precision=precision):
            model = random_models.transformer(setting, setting.blocks(), precision)
            velocity = model(**arguments)[0].float()
            del model
            exact = velocity if exact is None else exact
            error = (velocity - exact).norm() / exact.norm()
            setting.measure("error of the velocity to bf16", float(error), "x", precision=precision)
            missing = int((~velocity.isfinite()).sum())
            setting.measure(
                "values of the velocity that are not finite", missing, "value", precision=precision
            )
            setting.measure("largest velocity", float(velocity.abs().max()), "x", precision=precision)
    for float8_activations in (False, True):
        with setting.attempt("rows of zeros", float8_activations=float8_activations):
            _multiply_zeros(setting, float8_activations=float8_activations)


def _multiply_zeros(setting: Setting, *, float8_activations: bool) -> None:
    """A row of zeros has no largest value to scale by: 0/0 would make black frames of it."""
    generator = torch.Generator(setting.device).manual_seed(4)
    weight = torch.randn(WIDTH, WIDTH, generator=generator, device=setting.device)
    tokens = torch.randn(64, WIDTH, generator=generator, device=setting.device).to(torch.bfloat16)
    weight[0], tokens[0] = 0, 0
    rounded, scale = quantize_rows(weight)
    layer = torch.nn.Linear(WIDTH, WIDTH, bias=False, device="meta")
    layer.weight = torch.nn.Parameter(
        float8_weight(rounded, scale, torch.bfloat16, float8_activations=float8_activations),
        requires_grad=False,
    )
    product = layer(tokens)
    conditions = {"float8_activations": float8_activations}
    missing = int((~product.isfinite()).sum())
    setting.measure("values of a product with zeros that are not finite", missing, "value", **conditions)
    wrong = int(product[0].count_nonzero() + product[:, 0].count_nonzero())
    setting.measure("values of a product with zeros that are not zero", wrong, "value", **conditions)
