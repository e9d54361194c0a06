"""The VAE frame by frame and in strips gives what diffusers' VAE gives, in less memory."""

from itertools import pairwise

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from benchmarks.tracing.tracker import Tracker
from InfiniteTalk import wan_vae

PUBLISHED_SIZES = [(640, 640), (960, 960), (1920, 512)]
LIMIT_BYTES = 10e9
WINDOW_FRAMES = 81


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(base_dim=4).eval()


@pytest.mark.parametrize(("rows", "columns"), [(20, 8), (8, 24)])
@torch.no_grad()
def test_strips_show_no_seam(vae: AutoencoderKLWan, rows: int, columns: int) -> None:
    latents = torch.randn(1, 16, 3, rows, columns)
    expected = vae.decode(latents, return_dict=False)[0]
    pixels = 64 * rows * columns

    for strip_pixels in (pixels, pixels // 2, pixels // 3):
        torch.testing.assert_close(wan_vae.decode(vae, latents, strip_pixels), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 5, 13])
@torch.no_grad()
def test_frames_one_by_one_are_encoded_as_together(vae: AutoencoderKLWan, num_frames: int) -> None:
    frames = torch.rand(1, 3, num_frames, 32, 48) * 2 - 1

    torch.testing.assert_close(
        wan_vae.encode(vae, frames), vae.encode(frames).latent_dist.mode(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("height", "width"), [*PUBLISHED_SIZES, (512, 1792), (768, 1216)])
def test_strips_cover_the_longer_side_once(height: int, width: int) -> None:
    parts = wan_vae.strips(height, width)

    assert parts[0].start == parts[0].first == 0
    assert parts[-1].stop == parts[-1].last == max(height, width) // wan_vae.PIXELS_PER_FEATURE
    assert all(before.stop == after.start for before, after in pairwise(parts))


# A few frames show what a window takes: every further one adds itself and nothing else.
@pytest.mark.parametrize("num_frames", [17, pytest.param(WINDOW_FRAMES, marks=pytest.mark.proof)])
@pytest.mark.parametrize(("height", "width"), PUBLISHED_SIZES)
@torch.no_grad()
def test_the_published_vae_works_within_ten_gigabytes(height: int, width: int, num_frames: int) -> None:
    with torch.device("meta"):
        vae = AutoencoderKLWan().eval()
        latents = torch.empty(1, 16, (num_frames + 3) // 4, height // 8, width // 8)
        frames = torch.empty(1, 3, num_frames, height, width)
    with Tracker() as decoding:
        wan_vae.decode(vae, latents)
    with Tracker() as encoding:
        wan_vae.encode(vae, frames)

    window_bytes = frames.nbytes * WINDOW_FRAMES // num_frames
    assert decoding.trace.peak_bytes + window_bytes - frames.nbytes <= LIMIT_BYTES
    assert encoding.trace.peak_bytes + window_bytes <= LIMIT_BYTES
