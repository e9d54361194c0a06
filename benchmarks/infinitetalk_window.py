"""Sampling a window with one, two and three passes, and the VAE: `python -m benchmarks.infinitetalk_window`.

The transformer has the middle size of the forward's benchmark (width 1024, 4 layers, 6,240 tokens) and takes
one step, contexts included. The VAE has its published size, and a small picture.
"""

import time
from collections.abc import Callable, Iterator

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan

from benchmarks.infinitetalk_forward import LATENT_FRAMES, LATENT_HEIGHT, LATENT_WIDTH, SIZE
from benchmarks.row import Row
from InfiniteTalk.guidance import Guidance
from InfiniteTalk.latents import decode_latents, encode_frames
from InfiniteTalk.noise import WindowNoise
from InfiniteTalk.sampling import WindowConditions, WindowSampler
from InfiniteTalk.schedule import flow_match_timesteps
from InfiniteTalk.states import StepState, WindowState
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

LATENTS = (1, 16, LATENT_FRAMES, LATENT_HEIGHT, LATENT_WIDTH)
VIDEO_FRAMES = 4 * (LATENT_FRAMES - 1) + 1
VAE_PIXELS, VAE_FRAMES = 64, 9
# Text and audio guidance that need one, two and three passes.
GUIDANCE = {1: Guidance(1.0, 1.0), 2: Guidance(1.0, 2.0), 3: Guidance(5.0, 4.0)}


@torch.inference_mode()
def rows() -> Iterator[Row]:
    """Seconds of a window by passes, and of encoding and decoding."""
    torch.manual_seed(0)
    transformer = InfiniteTalkTransformer3DModel(**SIZE).eval()
    for passes, guidance in GUIDANCE.items():
        sample = _one_step(transformer, guidance)
        yield Row(f"window of one step, {passes} pass{'es' * (passes > 1)}", _seconds(sample), "s")
    vae = AutoencoderKLWan().eval()
    frames = torch.zeros(1, 3, VAE_FRAMES, VAE_PIXELS, VAE_PIXELS)
    latents = encode_frames(vae, frames)
    name = f"{VAE_FRAMES} frames of {VAE_PIXELS} x {VAE_PIXELS}"
    yield Row(f"VAE encode, {name}", _seconds(lambda: encode_frames(vae, frames)), "s")
    yield Row(f"VAE decode, {name}", _seconds(lambda: decode_latents(vae, latents)), "s")


def _one_step(transformer: InfiniteTalkTransformer3DModel, guidance: Guidance) -> Callable[[], object]:
    prompt = torch.randn(1, 64, 4096)
    conditions = WindowConditions(
        reference_latents=torch.randn(LATENTS),
        image_embeds=torch.randn(1, 257, 1280),
        audio_windows=torch.randn(1, VIDEO_FRAMES, 5, 12, 768),
        motion_latents=torch.randn(1, 16, 1, LATENT_HEIGHT, LATENT_WIDTH),
        speaker_masks=None,
        new_picture=False,
    )
    sampler = WindowSampler(
        transformer, guidance, prompt, prompt, flow_match_timesteps(1, 7.0), WindowNoise(0)
    )
    start = StepState(WindowState(0), 0, torch.randn(LATENTS))
    return lambda: sampler.sample(start, conditions)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:50} {row.value:8.3f} {row.unit}", flush=True)
