import pytest

from InfiniteTalk.checkpoints.key_maps import (
    UnknownKeyError,
    is_audio_key,
    original_transformer_key,
    transformer_key,
)
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel
from tests.infinitetalk.golden_transformer import golden_config
from tests.infinitetalk.recordings import tensors


def test_every_weight_has_one_name_on_each_side() -> None:
    original = set(tensors("transformer_weights"))
    ours = set(InfiniteTalkTransformer3DModel(**golden_config()).state_dict())

    assert {transformer_key(name) for name in original} == ours
    assert {original_transformer_key(name) for name in ours} == original


def test_modules_have_names_too() -> None:
    assert transformer_key("blocks.39.self_attn.q") == "blocks.39.attn1.to_q"
    assert original_transformer_key("audio_projection.proj1_latter") == "audio_proj.proj1_vf"


def test_audio_layers_are_told_from_the_base() -> None:
    audio = {name for name in tensors("transformer_weights") if is_audio_key(transformer_key(name))}

    assert audio == {
        name
        for name in tensors("transformer_weights")
        if name.startswith("audio_proj.") or "audio_cross_attn" in name or "norm_x" in name
    }


@pytest.mark.parametrize("name", ["blocks.0.norm1.weight", "head.norm.weight", "blocks.0.attn1.to_q.weight"])
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(UnknownKeyError, match=name):
        transformer_key(name)
