"""What a render costs, counted from the shapes of the published model: operations, bytes, seconds.

Nothing here is measured. A multiplication with its addition counts as two operations; only products of
matrices, convolutions and attention are counted, which is all but about 1 % of the work. Seconds are a
floor: operations divided by a GPU's datasheet rate, of which a stated share is taken to be reached.
"""

from dataclasses import dataclass
from enum import StrEnum

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.windows import WINDOW_FRAMES, plan

UTILISATION = 0.5
"""The share of its datasheet rate that a GPU is taken to reach; 0.4 to 0.7 is usual for such shapes."""

LORA_RANK = 64
TEXT_TOKENS, IMAGE_TOKENS, AUDIO_TOKENS = 512, 257, 32


class Precision(StrEnum):
    """How the large matrices are stored and multiplied."""

    BF16 = "bf16"
    FP8 = "fp8"
    """Stored in 8 bits, multiplied in bfloat16."""
    FP8_COMPUTE = "fp8, computed"
    """Stored and multiplied in 8 bits; attention stays in bfloat16."""

    @property
    def bytes_per_weight(self) -> int:
        return 2 if self is Precision.BF16 else 1


@dataclass(frozen=True)
class Gpu:
    """A GPU by its datasheet: dense rates (without sparsity) in operations a second, with float32 sums."""

    name: str
    bf16: float
    fp8: float
    tf32: float
    memory_bytes: int
    bytes_per_second: float


L40S = Gpu("L40S", 362e12, 733e12, 183e12, 48 * 10**9, 864e9)
RTX_4090 = Gpu("RTX 4090", 165.2e12, 330.3e12, 82.6e12, 24 * 10**9, 1008e9)
H100 = Gpu("H100 SXM", 989.4e12, 1978.9e12, 494.7e12, 80 * 10**9, 3350e9)
GPUS = (L40S, RTX_4090, H100)


@dataclass(frozen=True)
class ModelSize:
    """The sizes of the transformer; by default the published ones."""

    dim: int = 5120
    ffn_dim: int = 13824
    num_layers: int = 40
    head_dim: int = 128
    in_channels: int = 36
    out_channels: int = 16
    freq_dim: int = 256
    text_dim: int = 4096
    image_dim: int = 1280
    audio_frame: int = 12 * 768
    audio_hidden_dim: int = 512
    audio_token_dim: int = 768


PUBLISHED = ModelSize()


@dataclass(frozen=True)
class VideoSize:
    """One window of video: pixels and frames."""

    height: int
    width: int
    num_frames: int = WINDOW_FRAMES

    @property
    def latent_frames(self) -> int:
        return 1 + (self.num_frames - 1) // 4

    @property
    def tokens_per_frame(self) -> int:
        return (self.height // 16) * (self.width // 16)

    @property
    def tokens(self) -> int:
        return self.latent_frames * self.tokens_per_frame


TYPICAL_SIZE = {Resolution.P480: VideoSize(640, 640), Resolution.P720: VideoSize(960, 960)}
"""Where the picture's shape is not known: all sizes of a resolution have within 11 % the same tokens."""


@dataclass(frozen=True)
class Operations:
    """Operations by what they run on.

    Attributes:
        block_linear: Products with the weights inside the blocks, which float8 is for.
        other_linear: Products with all other weights of the transformer.
        attention: Products of queries, keys and values.
        convolution: The VAE, in float32 (which GPUs multiply as tf32).
    """

    block_linear: float = 0.0
    other_linear: float = 0.0
    attention: float = 0.0
    convolution: float = 0.0

    @property
    def total(self) -> float:
        return self.block_linear + self.other_linear + self.attention + self.convolution

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(
            self.block_linear + other.block_linear,
            self.other_linear + other.other_linear,
            self.attention + other.attention,
            self.convolution + other.convolution,
        )

    def __mul__(self, count: int) -> "Operations":
        return Operations(
            self.block_linear * count,
            self.other_linear * count,
            self.attention * count,
            self.convolution * count,
        )


# ---- The transformer ---------------------------------------------------------------------------------------


def forward_operations(
    size: VideoSize, *, speakers: int = 1, lora_rank: int = 0, model: ModelSize = PUBLISHED
) -> Operations:
    """One forward whose text, picture and speech are projected already."""
    d, n = model.dim, size.tokens
    # q, k, v and o of self-attention, q and o of cross-attention, q and o of audio attention.
    per_token = 8 * d * d + 2 * d * model.ffn_dim
    # A LoRA changes the first six of them and the feed-forward.
    lora_per_token = lora_rank * (12 * d + 2 * (d + model.ffn_dim))
    keys = n + TEXT_TOKENS + IMAGE_TOKENS + speakers * AUDIO_TOKENS
    if speakers == 2:
        # Where two speak, each token's attention to the first frame says whom it listens to.
        keys += size.tokens_per_frame
    head = d * 4 * model.out_channels
    patches = model.in_channels * 4 * d
    time = model.freq_dim * d + d * d + 6 * d * d
    return Operations(
        block_linear=2 * model.num_layers * n * (per_token + lora_per_token),
        other_linear=2 * (n * (head + patches) + time),
        attention=2 * model.num_layers * 2 * n * keys * d,
    )


def context_operations(
    size: VideoSize, *, texts: int = 1, speakers: int = 1, model: ModelSize = PUBLISHED
) -> Operations:
    """What is computed once a window at most: text, picture and speech, and their keys and values.

    Args:
        size: Of the window.
        texts: 2 where a negative prompt is needed.
        speakers: Who is heard; null audio counts as two latent frames of one more.
        model: The transformer's sizes.
    """
    d, hidden = model.dim, model.audio_hidden_dim
    text = TEXT_TOKENS * (model.text_dim * d + d * d)
    image = IMAGE_TOKENS * (model.image_dim**2 + model.image_dim * d)
    frames = speakers * size.latent_frames
    windows = speakers * (5 + 8 * (size.latent_frames - 1)) * model.audio_frame * hidden
    audio = windows + frames * (hidden**2 + hidden * AUDIO_TOKENS * model.audio_token_dim)
    keys_values = (
        2 * d * (d * (texts * TEXT_TOKENS + IMAGE_TOKENS) + frames * AUDIO_TOKENS * model.audio_token_dim)
    )
    return Operations(
        block_linear=2 * model.num_layers * keys_values, other_linear=2 * (texts * text + image + audio)
    )


# ---- The VAE -----------------------------------------------------------------------------------------------


def vae_encode_operations(size: VideoSize, base_dim: int = 96, latent_channels: int = 16) -> Operations:
    """Encoding a window's video."""
    c, frames = base_dim, size.num_frames
    halved = (frames + 1) // 2
    areas = [size.height * size.width / 4**level for level in range(4)]
    latent = size.latent_frames
    macs = [
        27 * 3 * c * frames * areas[0],
        _residual_blocks([(c, c), (c, c)]) * frames * areas[0],
        9 * c * c * frames * areas[1],
        _residual_blocks([(c, 2 * c), (2 * c, 2 * c)]) * frames * areas[1],
        9 * (2 * c) ** 2 * frames * areas[2] + 3 * (2 * c) ** 2 * (halved - 1) * areas[2],
        _residual_blocks([(2 * c, 4 * c), (4 * c, 4 * c)]) * halved * areas[2],
        9 * (4 * c) ** 2 * halved * areas[3] + 3 * (4 * c) ** 2 * (latent - 1) * areas[3],
        _residual_blocks([(4 * c, 4 * c)] * 2) * latent * areas[3],
        _middle(4 * c, areas[3]) * latent,
        (27 * 4 * c + 2 * latent_channels) * 2 * latent_channels * latent * areas[3],
    ]
    return Operations(convolution=2 * sum(macs))


def vae_decode_operations(size: VideoSize, base_dim: int = 96, latent_channels: int = 16) -> Operations:
    """Decoding a window's latents."""
    c, frames = base_dim, size.num_frames
    halved = (frames + 1) // 2
    areas = [size.height * size.width / 4**level for level in range(4)]
    latent = size.latent_frames
    macs = [
        (latent_channels + 27 * 4 * c) * latent_channels * latent * areas[3],
        _middle(4 * c, areas[3]) * latent,
        _residual_blocks([(4 * c, 4 * c)] * 3) * latent * areas[3],
        3 * 4 * c * 8 * c * (latent - 1) * areas[3] + 9 * 4 * c * 2 * c * halved * areas[2],
        _residual_blocks([(2 * c, 4 * c), (4 * c, 4 * c), (4 * c, 4 * c)]) * halved * areas[2],
        3 * 4 * c * 8 * c * (halved - 1) * areas[2] + 9 * 4 * c * 2 * c * frames * areas[1],
        _residual_blocks([(2 * c, 2 * c)] * 3) * frames * areas[1],
        9 * 2 * c * c * frames * areas[0],
        _residual_blocks([(c, c)] * 3) * frames * areas[0],
        27 * c * 3 * frames * areas[0],
    ]
    return Operations(convolution=2 * sum(macs))


def _residual_blocks(channels: list[tuple[int, int]]) -> float:
    """Multiplications a pixel: two convolutions of 3 x 3 x 3, and one of a pixel where widths differ."""
    return sum(27 * (i + o) * o + (i * o if i != o else 0) for i, o in channels)


def _middle(channels: int, area: float) -> float:
    """Multiplications a frame: two residual blocks around an attention within the frame."""
    attention = 4 * channels**2 + 2 * area * channels
    return area * (_residual_blocks([(channels, channels)] * 2) + attention)


# ---- Bytes -------------------------------------------------------------------------------------------------

T5_BLOCK_WEIGHTS = 24 * (4 * 4096 * 4096 + 3 * 4096 * 10240)
T5_WEIGHTS = 5_680_910_336
CLIP_WEIGHTS = 611_086_080
VAE_WEIGHTS = 126_892_531
SPEECH_ENCODER_WEIGHTS = 94_371_712
TRANSFORMER_WEIGHTS = 18_882_046_784
# Of these few are kept in float32: time embedding and projection, norms, modulation, head.
TRANSFORMER_FLOAT32_WEIGHTS = 187_251_264
TRANSFORMER_BLOCK_WEIGHTS = 40 * (12 * 5120**2 + 2 * 5120 * 13824 + 2 * 768 * 5120)
# How often a block reads or writes a tensor of [tokens, dim] if nothing is fused: 2 or 3 for a norm or a sum,
# 2 to 4 for a product, 8 for rotating q and k, and more inside the feed-forward, which is 2.7 times wider.
BLOCK_TENSORS_MOVED = 65


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


def activation_bytes(size: VideoSize, model: ModelSize = PUBLISHED) -> int:
    """The most that a block holds at once: the feed-forward's hidden layer before and after its activation.

    Beside it the tokens, their normed copy and the result in bfloat16, and one copy in float32.
    """
    return size.tokens * (2 * 2 * model.ffn_dim + 3 * 2 * model.dim + 4 * model.dim)


def vae_bytes(size: VideoSize, base_dim: int = 96) -> int:
    """The most that decoding holds at once: four frames at full size and twice the width, thrice over.

    Once as they come, once padded, once convolved; in float32, beside the frames of the window.
    """
    pixels = size.height * size.width
    return 3 * 4 * 2 * base_dim * pixels * 4 + 2 * size.num_frames * 3 * pixels * 4


def forward_bytes(size: VideoSize, precision: Precision, model: ModelSize = PUBLISHED) -> int:
    """What one forward moves between a GPU's memory and its processors: weights once, activations in bf16."""
    activations = BLOCK_TENSORS_MOVED * model.num_layers * size.tokens * model.dim * 2
    return transformer_bytes(precision) + activations


# ---- Windows and jobs --------------------------------------------------------------------------------------


def window_operations(
    size: VideoSize, *, steps: int, passes: int, speakers: int = 1, lora_rank: int = 0
) -> Operations:
    """One window of a still picture: sampling, decoding, and encoding the start of the next.

    With two or three passes the last one hears nothing, which is the path of one speaker.
    """
    silent = 1 if passes > 1 else 0
    heard = forward_operations(size, speakers=speakers, lora_rank=lora_rank) * (passes - silent)
    unheard = forward_operations(size, lora_rank=lora_rank) * silent
    motion = VideoSize(size.height, size.width, 9)
    contexts = context_operations(size, texts=2 if passes == 3 else 1, speakers=speakers)
    return (heard + unheard) * steps + contexts + vae_decode_operations(size) + vae_encode_operations(motion)


def floor_seconds(
    operations: Operations, gpu: Gpu, precision: Precision, utilisation: float = UTILISATION
) -> float:
    """The least time that a GPU takes, if it reaches this share of its datasheet rates."""
    block_rate = gpu.fp8 if precision is Precision.FP8_COMPUTE else gpu.bf16
    seconds = (
        operations.block_linear / block_rate
        + (operations.other_linear + operations.attention) / gpu.bf16
        + operations.convolution / gpu.tf32
    )
    return seconds / utilisation


def estimated_gpu_seconds(
    *,
    num_frames: int,
    resolution: Resolution,
    preset: PresetName,
    speakers: int = 1,
    gpu: Gpu = L40S,
    precision: Precision = Precision.FP8_COMPUTE,
) -> float:
    """Seconds that a job keeps a GPU busy, before anything was measured on it.

    Args:
        num_frames: Length of the video.
        resolution: Its size; the shape changes little.
        preset: How it is sampled.
        speakers: One or two.
        gpu: What renders it.
        precision: Of the weights there.
    """
    chosen = PRESETS[preset]
    size = TYPICAL_SIZE[resolution]
    window = window_operations(
        size,
        steps=chosen.num_inference_steps,
        passes=chosen.passes,
        speakers=speakers,
        lora_rank=LORA_RANK if chosen.lora else 0,
    )
    job = window * len(plan(num_frames)) + vae_encode_operations(size)
    return floor_seconds(job, gpu, precision)
