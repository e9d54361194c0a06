from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from transformers import CLIPVisionConfig, CLIPVisionModel

from InfiniteTalk.conditioning import (
    PixelBox,
    SpeakerBox,
    clean_prompt,
    encode_image,
    half_picture_boxes,
    reference_latents,
    speaker_masks,
)
from InfiniteTalk.latents import decode_latents, encode_frames
from InfiniteTalk.sizes import Size
from tests.infinitetalk.recordings import error, metadata, tensors


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(base_dim=8, z_dim=16, num_res_blocks=1).eval()


def recorded_boxes(case: dict[str, Any]) -> list[PixelBox]:
    if case["bbox"] is None:
        return list(half_picture_boxes(Size(*case["source"]), case["face_scale"]))
    return [PixelBox.from_reference(box) for box in case["bbox"].values()]


@pytest.mark.parametrize("case", range(7))
def test_speakers_are_masked_as_by_the_reference(case: int) -> None:
    facts = metadata("misc")["mask_cases"][case]
    masks = speaker_masks(recorded_boxes(facts), Size(*facts["source"]), Size(*facts["target"]))
    assert torch.equal(masks, tensors("misc")[f"masks/{case}"].float())


def test_a_box_names_its_horizontal_side_first() -> None:
    right_edge = SpeakerBox(x=0.75, y=0.0, width=0.25, height=0.5).in_pixels(Size(64, 128))
    assert right_edge == PixelBox(left=96, top=0, right=128, bottom=32)
    masks = speaker_masks([right_edge, PixelBox(0, 0, 16, 16)], Size(64, 128), Size(64, 128))
    assert masks.shape == (3, 8, 16)
    assert masks[0].nonzero().amin(dim=0).tolist() == [0, 12]
    assert masks[0].nonzero().amax(dim=0).tolist() == [3, 15]


@torch.no_grad()
def test_the_first_reference_latent_is_that_of_the_picture_alone(vae: AutoencoderKLWan) -> None:
    picture = torch.rand(1, 3, 1, 32, 48) * 2 - 1
    latents = reference_latents(vae, picture, num_frames=9)
    assert latents.shape == (1, 16, 3, 4, 6)
    assert torch.equal(latents[:, :, :1], encode_frames(vae, picture))


@torch.no_grad()
def test_latents_are_scaled_on_the_way_in_and_back_on_the_way_out(vae: AutoencoderKLWan) -> None:
    frames = torch.rand(1, 3, 5, 32, 48) * 2 - 1
    latents = encode_frames(vae, frames)
    mean = torch.tensor(vae.config.latents_mean).view(1, 16, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, 16, 1, 1, 1)
    plain = vae.encode(frames).latent_dist.mode()
    assert error(latents * std + mean, plain) < 1e-5
    assert error(decode_latents(vae, latents), vae.decode(plain).sample) < 1e-5


@torch.no_grad()
def test_the_image_encoder_gives_all_its_positions_without_the_final_norm() -> None:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    encoder = CLIPVisionModel(config).eval()
    picture = torch.rand(1, 3, 1, 32, 48) * 2 - 1
    features = encode_image(encoder, picture)
    assert features.shape == (1, 5, 32)
    encoder.post_layernorm.requires_grad_(False).weight.zero_()
    assert torch.equal(encode_image(encoder, picture), features)


def test_a_prompt_is_repaired_before_it_is_read() -> None:
    assert clean_prompt(" A&amp;amp;B \n says\u00a0  âœ” hello ") == "A&B says ✔ hello"
