"""Bytes of GPU memory: the published model's weights, and what rendering a window takes beside them."""

from gpu_worker.contract.operations import (
    AUDIO_TOKENS,
    IMAGE_TOKENS,
    LORA_RANK,
    PUBLISHED,
    TEXT_TOKENS,
    VAE_CHANNELS,
    ModelSize,
    VideoSize,
    strip_share,
)
from gpu_worker.contract.setups import STANDARD, Precision, Setup, VaePrecision
from gpu_worker.contract.traffic import TRACED

T5_BLOCK_WEIGHTS = 24 * (4 * 4096 * 4096 + 3 * 4096 * 10240)
T5_WEIGHTS = 5_680_910_336
CLIP_WEIGHTS = 611_086_080
VAE_WEIGHTS = 126_892_531
SPEECH_ENCODER_WEIGHTS = 94_371_712
TRANSFORMER_WEIGHTS = 18_882_046_784
# Of these few are kept in float32: time embedding and projection, norms, modulation, head.
TRANSFORMER_FLOAT32_WEIGHTS = 187_251_264
TRANSFORMER_BLOCK_WEIGHTS = 40 * (12 * 5120**2 + 2 * 5120 * 13824 + 2 * 768 * 5120)


# Eight layers of the width inside a block, two for the picture's keys and values, and the feed-forward's two.
LORA_BYTES = 2 * LORA_RANK * 40 * (10 * 2 * 5120 + 2 * (5120 + 13824))
"""The LoRA of the distilled presets, kept beside the weights in bfloat16."""


def transformer_bytes(precision: Precision) -> int:
    """The transformer with the audio layers for one or two speakers."""
    others = TRANSFORMER_WEIGHTS - TRANSFORMER_BLOCK_WEIGHTS
    kept = 2 * others + 2 * TRANSFORMER_FLOAT32_WEIGHTS
    return TRANSFORMER_BLOCK_WEIGHTS * precision.bytes_per_weight + kept


def text_encoder_bytes(precision: Precision) -> int:
    """T5."""
    return T5_BLOCK_WEIGHTS * precision.bytes_per_weight + 2 * (T5_WEIGHTS - T5_BLOCK_WEIGHTS)


def other_model_bytes() -> int:
    """CLIP in float16, the VAE and the speech encoder in float32."""
    return 2 * CLIP_WEIGHTS + 4 * (VAE_WEIGHTS + SPEECH_ENCODER_WEIGHTS)


def context_bytes(size: VideoSize, *, passes: int, speakers: int = 1, model: ModelSize = PUBLISHED) -> int:
    """Keys and values of text, picture and speech, kept in bfloat16 for a window's steps."""
    texts = 2 if passes == 3 else 1
    null_audio = 2 * AUDIO_TOKENS if passes > 1 else 0
    rows = texts * TEXT_TOKENS + IMAGE_TOKENS + size.latent_frames * speakers * AUDIO_TOKENS + null_audio
    return rows * 2 * model.dim * model.num_layers * 2


def activation_bytes(size: VideoSize, setup: Setup = STANDARD) -> int:
    """The most that a forward holds at once beside the weights and the contexts' keys and values."""
    return size.tokens * TRACED[setup.precision, setup.kernels].activation_bytes


def vae_bytes(size: VideoSize, precision: VaePrecision = VaePrecision.FLOAT32) -> int:
    """The most that decoding a window holds at once, or encoding one with its frames at hand.

    Decoding: the window's frames in float32; the features of all frames before the strips; and for a strip
    34 tensors of its pixels and `VAE_CHANNELS` channels, of which 23 are the last two frames that every
    convolution keeps. Encoding: the frames, and 22 such tensors of the whole picture.
    """
    pixels, frames = size.height * size.width, size.num_frames
    tensor = pixels * VAE_CHANNELS * precision.bytes_per_value
    window = pixels * 3 * frames * 4
    features = tensor * 2 // 16 * (frames + 1) // 2
    decoding = window + features + round(34 * tensor * strip_share(size))
    copied = 0 if precision is VaePrecision.FLOAT32 else window // 2
    return max(decoding, window + copied + 22 * tensor)


def working_bytes(size: VideoSize, *, speakers: int = 1, passes: int = 3, setup: Setup = STANDARD) -> int:
    """What rendering a window takes beside the weights: sampling and the VAE take turns."""
    contexts = context_bytes(size, passes=passes, speakers=speakers)
    return contexts + max(activation_bytes(size, setup), vae_bytes(size, setup.vae))
