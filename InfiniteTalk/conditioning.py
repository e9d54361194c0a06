"""What the transformer is conditioned on besides speech: prompt, reference picture, speakers' places."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import ftfy
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch.nn.functional import interpolate
from transformers import CLIPVisionModel, PreTrainedTokenizerBase, UMT5EncoderModel

from InfiniteTalk.latents import encode_frames
from InfiniteTalk.sizes import Size, resize_masks

NEGATIVE_PROMPT = (
    "bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
    "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, "
    "poorly drawn hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, "
    "still picture, messy background, three legs, many people in the background, walking backwards"
)
"""What the model was made to steer away from."""

PROMPT_TOKENS = 512
FACE_MARGIN = 0.05
"""Share of a speaker's half of the picture that is left free at each edge where no box is given."""

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class PixelBox:
    """Rows `top ... bottom - 1` and columns `left ... right - 1` of the reference picture."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def from_reference(cls, box: Sequence[float]) -> "PixelBox":
        """Read four numbers as the reference does: its x, named first, runs down the rows."""
        top, left, bottom, right = (int(edge) for edge in box)
        return cls(left, top, right, bottom)


@dataclass(frozen=True)
class SpeakerBox:
    """Where a speaker is: fractions 0 to 1 of the picture's width and height, from its top left."""

    x: float
    y: float
    width: float
    height: float

    def in_pixels(self, size: Size) -> PixelBox:
        return PixelBox(
            left=round(self.x * size.width),
            top=round(self.y * size.height),
            right=round((self.x + self.width) * size.width),
            bottom=round((self.y + self.height) * size.height),
        )


def half_picture_boxes(source: Size, margin: float = FACE_MARGIN) -> tuple[PixelBox, PixelBox]:
    """Boxes for speaker 1 in the left half of the picture and speaker 2 in the right, each with a margin."""
    half = source.width // 2
    top, bottom = int(source.height * margin), int(source.height * (1 - margin))
    left, right = half * margin, half * (1 - margin)
    return (
        PixelBox(int(left), top, int(right), bottom),
        PixelBox(int(left + half), top, int(right + half), bottom),
    )


def speaker_masks(
    boxes: Sequence[PixelBox], source: Size, target: Size, vae_scale_factor: int = 8
) -> torch.Tensor:
    """Where in the latents each speaker is, and where nobody.

    Args:
        boxes: One for each speaker, in the reference picture; they may overlap.
        source: Size of the reference picture.
        target: Size of the rendered video.
        vae_scale_factor: Pixels of a latent, along each side.

    Returns:
        Float32 [speakers + 1, h, w] of 0 and 1; the last is the background.
    """
    masks = torch.zeros(len(boxes) + 1, source.height, source.width, dtype=torch.uint8)
    for mask, box in zip(masks, boxes, strict=False):
        mask[box.top : box.bottom, box.left : box.right] = 1
    masks[-1] = masks[:-1].sum(dim=0) == 0
    size = (target.height // vae_scale_factor, target.width // vae_scale_factor)
    return interpolate(resize_masks(masks, target)[None], size=size, mode="nearest")[0].float()


def reference_latents(vae: AutoencoderKLWan, image: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Encode the reference picture followed by grey.

    Args:
        vae: Wan's VAE.
        image: [1, 3, 1, H, W] in [-1, 1], on the device to encode on.
        num_frames: Frames of a window.

    Returns:
        Float32 [1, 16, T, h, w]. The first latent frame is that of the picture alone.
    """
    video = image.new_zeros(1, 3, num_frames, *image.shape[3:])
    video[:, :, :1] = image
    return encode_frames(vae, video)


def encode_image(image_encoder: CLIPVisionModel, image: torch.Tensor) -> torch.Tensor:
    """CLIP's view of the reference picture.

    Args:
        image_encoder: CLIP's vision half without its last block.
        image: [1, 3, 1, H, W] in [-1, 1].

    Returns:
        What its last block puts out, without the norm that follows in CLIP, [1, 257, width].
    """
    side = image_encoder.config.image_size
    assert isinstance(side, int)
    picture = interpolate(image[:, :, 0], size=(side, side), mode="bicubic", align_corners=False) * 0.5 + 0.5
    mean, std = (picture.new_tensor(value)[:, None, None] for value in (_CLIP_MEAN, _CLIP_STD))
    pixel_values = ((picture - mean) / std).to(image_encoder.dtype)
    features: torch.Tensor = image_encoder(pixel_values).last_hidden_state
    return features


def encode_prompt(
    text_encoder: UMT5EncoderModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Embed a prompt; what is beyond 512 tokens is not read.

    Returns:
        [1, n, text width], n the number of its tokens: the rows of the padding are left out.
    """
    tokens = tokenizer(
        clean_prompt(prompt),
        padding="max_length",
        max_length=PROMPT_TOKENS,
        truncation=True,
        add_special_tokens=True,
        return_attention_mask=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask.to(device or text_encoder.device)
    embeds = text_encoder(tokens.input_ids.to(mask.device), mask).last_hidden_state
    return embeds[:, : int(mask.sum())]


def clean_prompt(prompt: str) -> str:
    """Repair broken Unicode, resolve HTML entities (also doubly escaped ones) and collapse white space."""
    text = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", text).strip()
