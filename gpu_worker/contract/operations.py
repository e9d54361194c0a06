"""Operations of a render, counted from the shapes of the published model.

A multiplication with its addition counts as two operations; only products of matrices, convolutions and
attention are counted.
"""

from dataclasses import dataclass

from gpu_worker.contract.windows import WINDOW_FRAMES

LORA_RANK = 64
TEXT_TOKENS, IMAGE_TOKENS, AUDIO_TOKENS = 512, 257, 32


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


# What InfiniteTalk/wan_vae.py decodes at once, and what it brings along of neighbouring strips, in pixels.
VAE_CHANNELS = 96
VAE_STRIP_PIXELS = 640 * 768
VAE_STRIP_MARGIN = 48


def strip_share(size: VideoSize) -> float:
    """The share of a frame that is decoded at once, with what a strip needs of its neighbours."""
    count = _strips(size)
    neighbours = min(count - 1, 2)
    return 1 / count + neighbours * VAE_STRIP_MARGIN / max(size.height, size.width)


def _strips(size: VideoSize) -> int:
    return -(-size.height * size.width // VAE_STRIP_PIXELS)


def strip_overlap(size: VideoSize) -> float:
    """How often a pixel is decoded on average, since strips bring some of their neighbours' along."""
    return 1 + 2 * (_strips(size) - 1) * VAE_STRIP_MARGIN / max(size.height, size.width)


# ---- Windows ----------------------------------------------------------------------------------------------


def window_operations(
    size: VideoSize, *, steps: int, passes: int, motion_frames: int, speakers: int = 1, lora_rank: int = 0
) -> Operations:
    """One window of a still picture: sampling, decoding, and encoding the start of the next.

    With two or three passes the last one hears nothing, which is the path of one speaker.
    """
    silent = 1 if passes > 1 else 0
    heard = forward_operations(size, speakers=speakers, lora_rank=lora_rank) * (passes - silent)
    unheard = forward_operations(size, lora_rank=lora_rank) * silent
    motion = VideoSize(size.height, size.width, motion_frames)
    contexts = context_operations(size, texts=2 if passes == 3 else 1, speakers=speakers)
    decoding = Operations(convolution=vae_decode_operations(size).convolution * strip_overlap(size))
    return (heard + unheard) * steps + contexts + decoding + vae_encode_operations(motion)
