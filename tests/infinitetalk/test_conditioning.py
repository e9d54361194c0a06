from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from transformers import CLIPVisionConfig, CLIPVisionModel

from InfiniteTalk.checkpoints.loading import load_text_encoder, load_tokenizer
from InfiniteTalk.checkpoints.options import LoadOptions
from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint
from InfiniteTalk.conditioning import (
    PixelBox,
    SpeakerBox,
    clean_prompt,
    encode_image,
    encode_prompt,
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


@torch.no_grad()
def test_a_picture_is_stretched_to_a_square_and_brought_to_clips_own_range() -> None:
    config = CLIPVisionConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    encoder, seen = CLIPVisionModel(config).eval(), []
    encoder.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    left_black_right_white = torch.ones(1, 3, 1, 96, 64)
    left_black_right_white[..., :32] = -1
    encode_image(encoder, left_black_right_white)

    assert seen[0].shape == (1, 3, 224, 224)
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    assert seen[0][0, :, 100, 10].numpy() == pytest.approx((0 - mean) / std, abs=1e-5)
    assert seen[0][0, :, 100, -10].numpy() == pytest.approx((1 - mean) / std, abs=1e-5)


@torch.no_grad()
def test_a_prompt_is_embedded_as_if_there_were_no_padding(tiny_original: OriginalCheckpoint) -> None:
    options = LoadOptions(torch_dtype=torch.float32)
    text_encoder = load_text_encoder(tiny_original.ckpt_dir, options)
    tokenizer = load_tokenizer(tiny_original.ckpt_dir)
    embeds = encode_prompt(text_encoder, tokenizer, " A person  is talking. ")

    tokens = tokenizer("A person is talking.", return_tensors="pt").input_ids
    assert tokens[0, -1] == tokenizer.eos_token_id
    assert error(embeds, text_encoder(tokens).last_hidden_state) < 1e-5
    assert encode_prompt(text_encoder, tokenizer, "talking " * 600).shape[1] == 512


def test_a_prompt_is_repaired_before_it_is_read() -> None:
    assert clean_prompt(" A&amp;amp;B \n says\u00a0  âœ” hello ") == "A&B says ✔ hello"
