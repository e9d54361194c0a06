from typing import Any

import pytest
import torch

from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel, listening_places

from .golden_transformer import call, golden_model, predict
from .recordings import error, tensors

TOLERANCE = 1e-5
DEBUG_TIMESTEP = 1

CALLS = [
    *[("transformer_one", index) for index in range(5)],
    *[("transformer_two", index) for index in range(3)],
]


@pytest.fixture(scope="module")
def model() -> InfiniteTalkTransformer3DModel:
    return golden_model()


@pytest.fixture(scope="module", params=["transformer_one", "transformer_two"])
def intermediates(request: pytest.FixtureRequest, model: InfiniteTalkTransformer3DModel) -> dict[str, Any]:
    """What the modules return in the call whose intermediates were recorded, and the recording's name."""
    seen: dict[str, Any] = {"recording": request.param}
    names = {
        name
        for name, _ in model.named_modules()
        if name in ("flatten_tokens", "condition_embedder", "audio_projection")
        or name.endswith(("_embedder", "attn1", "attn2", "attn_audio"))
        or name in ("blocks.0", "blocks.1", "blocks.2")
    }
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, args, output, name=name: seen.update({name: output})
        )
        for name in names
    ]
    predict(model, request.param, DEBUG_TIMESTEP)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(("recording", "index"), CALLS)
def test_the_velocity_is_the_recorded_one(
    model: InfiniteTalkTransformer3DModel, recording: str, index: int
) -> None:
    assert error(predict(model, recording, index), tensors(recording)["out"][index]) <= TOLERANCE


@pytest.mark.parametrize("recording", ["transformer_one", "transformer_two"])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("null_audio", ["zeros", "none"])
def test_null_audio_gives_the_recorded_velocity(
    model: InfiniteTalkTransformer3DModel, recording: str, index: int, null_audio: str
) -> None:
    recorded = tensors(recording)
    audio = torch.zeros_like(recorded["audio"][:1]) if null_audio == "zeros" else None

    velocity = predict(model, recording, index, audio_embeds=audio)

    assert error(velocity, recorded["out_zero_audio"][index]) <= TOLERANCE


def test_another_prompt_gives_the_recorded_velocity(model: InfiniteTalkTransformer3DModel) -> None:
    recorded = tensors("transformer_one")

    velocity = predict(model, "transformer_one", 0, encoder_hidden_states=recorded["text_b"][None])

    assert error(velocity, recorded["out_text_b"]) <= TOLERANCE


def test_tokens_and_conditions_are_the_recorded_ones(intermediates: dict[str, Any]) -> None:
    recorded = tensors(intermediates["recording"])
    temb, timestep_proj = intermediates["condition_embedder"]
    context = torch.cat(
        (
            intermediates["condition_embedder.image_embedder"],
            intermediates["condition_embedder.text_embedder"],
        ),
        dim=1,
    )

    assert error(intermediates["flatten_tokens"], recorded["debug/tokens_in"]) <= TOLERANCE
    assert error(temb, recorded["debug/time_embed"]) <= TOLERANCE
    assert error(timestep_proj, recorded["debug/time_proj"]) <= TOLERANCE
    assert error(context, recorded["debug/context_tokens"]) <= TOLERANCE
    assert error(intermediates["audio_projection"][None], recorded["debug/audio_tokens"]) <= TOLERANCE


@pytest.mark.parametrize("block", range(3))
def test_every_attention_and_block_gives_what_was_recorded(intermediates: dict[str, Any], block: int) -> None:
    recorded = tensors(intermediates["recording"])
    self_attention = intermediates[f"blocks.{block}.attn1"]
    if isinstance(self_attention, tuple):
        self_attention = self_attention[0]

    prefix = f"debug/block{block}_"
    assert error(self_attention, recorded[prefix + "self_attn"]) <= TOLERANCE
    assert error(intermediates[f"blocks.{block}.attn2"], recorded[prefix + "cross_attn"]) <= TOLERANCE
    assert error(intermediates[f"blocks.{block}.attn_audio"], recorded[prefix + "audio_attn"]) <= TOLERANCE
    assert error(intermediates[f"blocks.{block}"], recorded[prefix + "out"]) <= TOLERANCE


def test_tokens_listen_to_the_recorded_speakers(model: InfiniteTalkTransformer3DModel) -> None:
    recorded = tensors("transformer_two")
    places: list[torch.Tensor] = []
    handles = [
        block.attn1.register_forward_hook(lambda module, args, output: places.append(output[1]))
        for block in model.blocks
    ]
    model(**call("transformer_two", DEBUG_TIMESTEP))
    for handle in handles:
        handle.remove()

    for block in range(3):
        assert error(places[block], recorded[f"debug/block{block}_token_pos"]) <= 5e-4
        attention = recorded[f"debug/block{block}_ref_map"]
        ours = listening_places(attention, group=None)
        assert error(ours, recorded[f"debug/block{block}_token_pos"]) <= 1e-5
