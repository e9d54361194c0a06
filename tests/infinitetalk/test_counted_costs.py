"""The estimates' arithmetic against what torch counts while the models run, and what conversion stores."""

import math

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from gpu_worker.contract import costs, gpu_memory, operations, setups
from gpu_worker.contract.operations import ModelSize, VideoSize
from InfiniteTalk.checkpoints.encoder_key_maps import T5_KEYS, clip_keys
from InfiniteTalk.checkpoints.original_checkpoint import place_transformer
from InfiniteTalk.checkpoints.precision import Precision, is_block_matrix, is_kept_in_float32
from InfiniteTalk.sizes import BUCKETS
from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

from .test_real_size import Shapes, placed, published

SMALL = ModelSize(
    dim=64,
    ffn_dim=96,
    num_layers=2,
    head_dim=32,
    text_dim=48,
    audio_frame=24,
    audio_hidden_dim=8,
    audio_token_dim=16,
)


@torch.no_grad()
def counted_forwards(model: InfiniteTalkTransformer3DModel, size: VideoSize, speakers: int) -> list[int]:
    """Operations of a first forward and of another with the same contexts."""
    device, config = model.device, model.config
    shape = (size.latent_frames, size.height // 8, size.width // 8)
    masks = torch.zeros(3, *shape[1:])
    masks[0, :, :2], masks[1, :, -2:], masks[2, :, 2:-2] = 1, 1, 1
    speech = (speakers, size.num_frames, 5, config.audio_blocks, config.audio_channels)
    cache = InfiniteTalkContextCache()
    counts = []
    for _ in range(2):
        # The CPU's own attention kernel is one that the counter does not know.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model(
                hidden_states=torch.zeros(1, 36, *shape, device=device),
                timestep=torch.tensor([500.0], device=device),
                encoder_hidden_states=torch.zeros(1, 512, config.text_dim, device=device),
                encoder_hidden_states_image=torch.zeros(1, 257, config.image_dim, device=device),
                audio_embeds=torch.zeros(speech, device=device),
                speaker_masks=masks if speakers == 2 else None,
                context_cache=cache,
            )
        counts.append(counter.get_total_flops())
    return counts


def test_the_published_size_is_counted_to_the_operation() -> None:
    size = VideoSize(640, 640)
    with torch.device("meta"):
        model = InfiniteTalkTransformer3DModel()
    first, later = counted_forwards(model, size, speakers=1)

    assert later == operations.forward_operations(size).total
    assert first - later == operations.context_operations(size).total


@pytest.mark.parametrize("speakers", [1, 2])
def test_one_and_two_speakers_are_counted_to_the_operation(speakers: int) -> None:
    size = VideoSize(64, 96, num_frames=9)
    model = InfiniteTalkTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=32,
        text_dim=48,
        freq_dim=256,
        ffn_dim=96,
        num_layers=2,
        added_kv_proj_dim=64,
        audio_blocks=2,
        audio_channels=12,
        audio_hidden_dim=8,
        audio_token_dim=16,
    )
    first, later = counted_forwards(model, size, speakers)

    assert later == operations.forward_operations(size, speakers=speakers, model=SMALL).total
    assert first - later == operations.context_operations(size, speakers=speakers, model=SMALL).total


@torch.no_grad()
def test_the_vae_is_counted_to_the_operation() -> None:
    size = VideoSize(128, 64, num_frames=17)
    with torch.device("meta"):
        vae = AutoencoderKLWan()
        video = torch.zeros(1, 3, size.num_frames, size.height, size.width)
        latents = torch.zeros(1, 16, size.latent_frames, size.height // 8, size.width // 8)
    with FlopCounterMode(display=False) as encoding:
        vae.encode(video)
    with FlopCounterMode(display=False) as decoding:
        vae.decode(latents)

    assert encoding.get_total_flops() == operations.vae_encode_operations(size).total
    assert decoding.get_total_flops() == operations.vae_decode_operations(size).total


def stored_bytes(shapes: Shapes, precision: Precision, float32_modules: list[str]) -> int:
    total = 0
    for key, shape in shapes.items():
        if precision is Precision.FP8 and is_block_matrix(key, shape):
            total += math.prod(shape) + 4 * shape[0]
        else:
            total += math.prod(shape) * (4 if is_kept_in_float32(key, float32_modules) else 2)
    return total


@pytest.mark.parametrize(
    ("precision", "counted"), [(Precision.BF16, setups.Precision.BF16), (Precision.FP8, setups.Precision.FP8)]
)
def test_the_models_take_the_bytes_that_are_counted(precision: Precision, counted: setups.Precision) -> None:
    transformer = placed(published("transformer"), place_transformer)
    text_encoder = placed(published("text_encoder"), T5_KEYS.place)
    kept = InfiniteTalkTransformer3DModel._keep_in_fp32_modules

    # The scales of float8 rows, which the count leaves out, take one part in a thousand.
    assert stored_bytes(transformer, precision, kept) == pytest.approx(
        gpu_memory.transformer_bytes(counted), rel=4e-3
    )
    assert stored_bytes(text_encoder, precision, []) == pytest.approx(
        gpu_memory.text_encoder_bytes(counted), rel=4e-3
    )


def test_the_image_encoder_takes_the_weights_that_are_counted() -> None:
    shapes = placed(published("image_encoder"), clip_keys(32).place)

    assert sum(map(math.prod, shapes.values())) == pytest.approx(gpu_memory.CLIP_WEIGHTS, rel=1e-5)


def test_all_sizes_of_a_resolution_have_about_the_tokens_of_the_typical_one() -> None:
    for resolution, typical in costs.TYPICAL_SIZE.items():
        for size in BUCKETS[resolution.value].values():
            assert VideoSize(size.height, size.width).tokens == pytest.approx(typical.tokens, rel=0.11)
