"""One forward of the transformer, on the CPU: `python -m benchmarks.infinitetalk_forward`.

Ours, audio layers included, against diffusers' plain `WanTransformer3DModel` of the same size: width 1024, 8
heads, feed-forward 4096, 4 layers, 6,240 tokens, float32. All kinds of forward take turns, so that a machine
busy for a while slows all of them; they are compared by the processor's time, which others disturb less.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from diffusers import WanTransformer3DModel

from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

from .row import Row

ROUNDS = 7
READINGS = 1  # each is a median of its own rounds
PLAIN = "plain Wan"
LATENT_FRAMES, LATENT_HEIGHT, LATENT_WIDTH = 13, 48, 40
SIZE = {
    "num_attention_heads": 8,
    "attention_head_dim": 128,
    "in_channels": 36,
    "ffn_dim": 4096,
    "num_layers": 4,
    "image_dim": 1280,
    "added_kv_proj_dim": 1024,
}


@torch.inference_mode()
def rows(rounds: int = ROUNDS) -> Iterator[Row]:
    """Median seconds of each kind of forward, and its processor time relative to plain Wan's."""
    forwards = _forwards()
    clocks = {name: _Clocks() for name in forwards}
    for forward in forwards.values():
        forward()
    for _ in range(rounds):
        for name, forward in forwards.items():
            clocks[name].measure(forward)
    plain = clocks[PLAIN]
    for name, clock in clocks.items():
        yield Row(f"forward, {name}", statistics.median(clock.wall), "s")
        if name != PLAIN:
            ratios = [ours / theirs for ours, theirs in zip(clock.processor, plain.processor, strict=True)]
            yield Row(f"forward, {name}, to plain Wan", statistics.median(ratios), "x")


@dataclass
class _Clocks:
    """Seconds of one kind of forward, round by round."""

    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def measure(self, forward: Callable[[], object]) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        forward()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)


def _forwards() -> dict[str, Callable[[], object]]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    plain = WanTransformer3DModel(**SIZE).eval()
    ours = InfiniteTalkTransformer3DModel(**SIZE).eval()
    video_frames = 4 * (LATENT_FRAMES - 1) + 1
    audio = torch.randn(2, video_frames, 5, 12, 768, generator=generator)
    inputs = {
        "hidden_states": torch.randn(1, 36, LATENT_FRAMES, LATENT_HEIGHT, LATENT_WIDTH, generator=generator),
        "timestep": torch.tensor([871.5]),
        "encoder_hidden_states": torch.randn(1, 512, 4096, generator=generator),
        "encoder_hidden_states_image": torch.randn(1, 257, 1280, generator=generator),
    }
    one, null, two = (InfiniteTalkContextCache() for _ in range(3))
    return {
        PLAIN: lambda: plain(**inputs),
        "one speaker": lambda: ours(**inputs, audio_embeds=audio[:1]),
        "one speaker, contexts cached": lambda: ours(**inputs, audio_embeds=audio[:1], context_cache=one),
        "null audio, contexts cached": lambda: ours(**inputs, audio_embeds=None, context_cache=null),
        "two speakers, contexts cached": lambda: ours(
            **inputs, audio_embeds=audio, speaker_masks=_masks(), context_cache=two
        ),
    }


def _masks() -> torch.Tensor:
    """Speakers in the left and the right third, background between them."""
    masks = torch.zeros(3, LATENT_HEIGHT, LATENT_WIDTH)
    third = LATENT_WIDTH // 3
    masks[0, :, :third], masks[1, :, -third:], masks[2, :, third:-third] = 1, 1, 1
    return masks


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:50} {row.value:8.3f} {row.unit}")
