"""What the VAE holds and moves for a window: `python -m benchmarks.vae_trace`.

Nothing is computed: the published size runs on torch's `meta` device. The peak of encoding includes the
window's frames, which are at hand then.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from benchmarks.forward_trace import SIZES
from benchmarks.row import Row
from benchmarks.tracing.published import META
from benchmarks.tracing.tracker import Trace, Tracker
from gpu_worker.contract.operations import VideoSize
from gpu_worker.contract.setups import VaePrecision
from InfiniteTalk import wan_vae

READINGS = 1  # counted, so every reading is the same
_DTYPES = {VaePrecision.FLOAT32: torch.float32, VaePrecision.BF16: torch.bfloat16}


def trace_decoding(size: VideoSize, precision: VaePrecision) -> Trace:
    """Trace decoding a window."""
    latents = partial(torch.empty, 1, 16, size.latent_frames, size.height // 8, size.width // 8)
    with Tracker() as tracker, torch.no_grad():
        wan_vae.decode(_vae(precision), latents(device=META).to(_DTYPES[precision]))
    return tracker.trace


def trace_encoding(size: VideoSize, precision: VaePrecision) -> Trace:
    """Trace encoding a window's frames, in float32 as they are."""
    with Tracker() as tracker, torch.no_grad():
        frames = torch.empty(1, 3, size.num_frames, size.height, size.width, device=META)
        wan_vae.encode(_vae(precision), frames.to(_DTYPES[precision]))
    return tracker.trace


def _vae(precision: VaePrecision) -> AutoencoderKLWan:
    with META:
        vae = AutoencoderKLWan().eval()
    for module in vae.modules():
        module.to(_DTYPES[precision])
    return vae


def rows() -> Iterator[Row]:
    """Figures of every size in both number types."""
    traced = {"decode": trace_decoding, "encode": trace_encoding}
    for size, precision, (what, trace) in product(SIZES, VaePrecision, traced.items()):
        label, found = f"{size.height}×{size.width}, {precision}, {what}", trace(size, precision)
        yield Row(f"{label}: peak", found.peak_bytes / 1e9, "GB")
        yield Row(f"{label}: traffic beside convolutions", found.moved_bytes / 1e12, "TB")
        yield Row(f"{label}: kernels", found.kernels, "")


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:66} {row.value:10.3f} {row.unit}", flush=True)
