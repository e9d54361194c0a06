"""5. The VAE in float32, in bf16 and in tiles: time, memory, and how far the pictures differ."""

import math

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from benchmarks.gpu import random_models
from benchmarks.gpu.setting import Setting
from InfiniteTalk.sizes import Size

TITLE = "The VAE (random weights: the differences say little of real pictures)"
KINDS = ("float32", "bf16", "float32 in tiles")


@torch.no_grad()
def run(setting: Setting) -> None:
    """Decode and encode a window at each resolution."""
    for name in ("480p", "720p"):
        exact: torch.Tensor | None = None
        for kind in KINDS:
            conditions = {"resolution": name, "vae": kind}
            with setting.attempt("VAE", **conditions):
                frames = _measure(setting, setting.sizes[name], kind, conditions)
                if exact is None:
                    exact = frames
                setting.measure("PSNR to float32", _psnr(frames, exact), "dB", **conditions)
                del frames


def _measure(setting: Setting, size: Size, kind: str, conditions: dict[str, str]) -> torch.Tensor:
    model = random_models.vae(setting, torch.bfloat16 if kind == "bf16" else torch.float32)
    if kind.endswith("tiles"):
        model.enable_tiling()
    latents = _latents(setting, size).to(model.dtype)
    setting.reset_peak()
    frames: torch.Tensor = model.decode(latents, return_dict=False)[0].float().clamp(-1, 1).cpu()
    setting.measure_peak("decode", **conditions)
    setting.measure("decode", setting.seconds(lambda: model.decode(latents), repeats=1), "s", **conditions)
    _measure_encoding(setting, model, frames, conditions)
    return frames


def _measure_encoding(
    setting: Setting, model: AutoencoderKLWan, frames: torch.Tensor, conditions: dict[str, str]
) -> None:
    pixels = frames.to(setting.device, model.dtype)
    setting.reset_peak()
    setting.measure("encode", setting.seconds(lambda: model.encode(pixels), repeats=1), "s", **conditions)
    setting.measure_peak("encode", **conditions)


def _latents(setting: Setting, size: Size) -> torch.Tensor:
    generator = torch.Generator(setting.device).manual_seed(3)
    shape = (1, 16, (setting.num_frames - 1) // 4 + 1, size.height // 8, size.width // 8)
    return torch.randn(shape, generator=generator, device=setting.device)


def _psnr(frames: torch.Tensor, exact: torch.Tensor) -> float:
    """Of values from -1 to 1; 120 dB stands for no difference."""
    error = float((frames - exact).square().mean())
    return 120.0 if error == 0 else min(120.0, 10 * math.log10(4 / error))
