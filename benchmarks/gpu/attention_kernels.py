"""8. Attention backends: time of one self-attention, and how far each is from torch's own."""

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

from benchmarks.gpu.results import Value
from benchmarks.gpu.setting import Setting

TITLE = "Attention backends"
NATIVE = "native"
BACKENDS = (
    NATIVE,
    "_native_flash",
    "_native_cudnn",
    "_native_efficient",
    "flash",
    "flash_hub",
    "_flash_3",
    "_flash_3_hub",
    "sage",
    "sage_hub",
    "_sage_qk_int8_pv_fp8_cuda",
    "_sage_qk_int8_pv_fp8_cuda_sm90",
    "_sage_qk_int8_pv_fp16_cuda",
)
HEADS, HEAD_DIM = 40, 128


@torch.no_grad()
def run(setting: Setting) -> None:
    """Time every backend that this GPU and these packages offer; say of the others why not."""
    known = {backend.value for backend in AttentionBackendName}
    for name in ("480p", "720p"):
        tensors = _tensors(setting, name)
        exact = dispatch_attention_fn(*tensors, backend=NATIVE).float()
        for backend in BACKENDS if setting.on_gpu else (NATIVE,):
            if backend in known:
                _measure(setting, tensors, exact, backend)


def _measure(setting: Setting, tensors: tuple[torch.Tensor, ...], exact: torch.Tensor, backend: str) -> None:
    conditions: dict[str, Value] = {"backend": backend, "tokens": exact.shape[1]}
    with setting.attempt("self-attention", **conditions):
        output = dispatch_attention_fn(*tensors, backend=backend).float()
        setting.measure("error to native", float((output - exact).norm() / exact.norm()), "x", **conditions)
        setting.measure("largest output", float(output.abs().max()), "x", **conditions)
        seconds = setting.seconds(lambda: dispatch_attention_fn(*tensors, backend=backend))
        setting.measure("self-attention", seconds, "s", **conditions)


def _tensors(setting: Setting, name: str) -> tuple[torch.Tensor, ...]:
    size = setting.sizes[name]
    tokens = ((setting.num_frames - 1) // 4 + 1) * (size.height // 16) * (size.width // 16)
    heads, width = (HEADS, HEAD_DIM) if setting.on_gpu else (2, 32)
    generator = torch.Generator(setting.device).manual_seed(5)
    shape = (1, tokens, heads, width)
    return tuple(
        torch.randn(shape, generator=generator, device=setting.device).to(setting.dtype) for _ in range(3)
    )
