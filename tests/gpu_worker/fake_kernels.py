"""Kernels as the hub has them, in plain Python for a CPU."""

import json
from pathlib import Path

from gpu_worker.model_store.sources import FLASH_ATTENTION_3, SAGE_ATTENTION

VARIANT = "torch-cpu"
RIGHT = """\
from torch.nn.functional import scaled_dot_product_attention as attention


def sageattn(q, k, v, tensor_layout, is_causal, sm_scale, return_lse):
    heads_first = (tensor.transpose(1, 2) for tensor in (q, k, v))
    return attention(*heads_first).transpose(1, 2)
"""
FLASH = """\
from types import SimpleNamespace


def flash_attn_func(*args, **kwargs):
    raise RuntimeError("no kernel image is available")


flash_attn_interface = SimpleNamespace(_flash_attn_forward=None, _flash_attn_backward=None)
"""


def write_kernel(folder: Path, name: str, source: str) -> Path:
    """A kernel's repository, with a build for any CPU and one for a GPU that nobody has here."""
    for variant, backend in ((VARIANT, "cpu"), ("torch213-cxx11-cu130-x86_64-linux", "cuda")):
        build = folder / "build" / variant
        build.mkdir(parents=True)
        (build / "__init__.py").write_text(source)
        metadata = {
            "id": f"_{name.replace('-', '_')}_{variant.replace('-', '_')}",
            "name": name,
            "version": 3,
            "license": "Apache-2.0",
            "python-depends": [],
            "backend": {"type": backend},
        }
        (build / "metadata.json").write_text(json.dumps(metadata))
    (folder / "README.md").write_text("A kernel.\n")
    return folder


def kernel_repos(folder: Path, sage: str = RIGHT) -> dict[str, Path]:
    """Both kernels that the model store asks for, by their repositories."""
    return {
        SAGE_ATTENTION.repo: write_kernel(folder / "sage", "sage-attention", sage),
        FLASH_ATTENTION_3.repo: write_kernel(folder / "flash", "flash-attn3", FLASH),
    }
