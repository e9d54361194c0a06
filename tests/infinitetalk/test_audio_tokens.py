import pytest
import torch

from InfiniteTalk.checkpoints.key_maps import transformer_key
from InfiniteTalk.transformer import InfiniteTalkAudioProjection

from .recordings import error, metadata, tensors


@pytest.fixture(scope="module")
def projection() -> InfiniteTalkAudioProjection:
    sizes = metadata("audio_frontend")["audio_proj"]
    model = InfiniteTalkAudioProjection(
        window=5,
        blocks=sizes["blocks"],
        channels=sizes["channels"],
        hidden_dim=sizes["intermediate_dim"],
        token_dim=sizes["output_dim"],
        num_tokens=sizes["context_tokens"],
        stride=4,
    )
    weights = {
        transformer_key(name).removeprefix("audio_projection."): tensor
        for name, tensor in tensors("audio_frontend").items()
        if name.startswith("audio_proj.")
    }
    model.load_state_dict(weights)
    return model.requires_grad_(False)


@pytest.mark.parametrize("index", range(4))
def test_windows_of_speech_are_grouped_and_projected_as_by_the_reference(
    projection: InfiniteTalkAudioProjection, index: int
) -> None:
    recorded = tensors("audio_frontend")
    grouped: list[torch.Tensor] = []
    handles = [
        layer.register_forward_pre_hook(lambda module, inputs: grouped.append(inputs[0]))
        for layer in (projection.proj1, projection.proj1_latter)
    ]
    tokens = projection(recorded[f"chunk{index}/windows"])
    for handle in handles:
        handle.remove()
    assert torch.equal(grouped[0], recorded[f"chunk{index}/first_frame"].flatten(2))
    assert torch.equal(grouped[1], recorded[f"chunk{index}/latter_groups"].flatten(2))
    assert error(tokens[None], recorded[f"chunk{index}/audio_tokens"]) < 1e-5


def test_null_audio_is_projected_as_by_the_reference(projection: InfiniteTalkAudioProjection) -> None:
    recorded = tensors("audio_frontend")
    tokens = projection(torch.zeros_like(recorded["chunk0/windows"]))
    assert error(tokens[None], recorded["null/audio_tokens"]) < 1e-5
