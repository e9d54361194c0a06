import pytest
import torch

from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

from .golden_transformer import golden_config, golden_model, predict
from .recordings import tensors


@pytest.fixture(scope="module")
def model() -> InfiniteTalkTransformer3DModel:
    return golden_model()


@pytest.mark.parametrize("recording", ["transformer_one", "transformer_two"])
def test_a_cache_changes_no_bit(model: InfiniteTalkTransformer3DModel, recording: str) -> None:
    cache = InfiniteTalkContextCache()
    for index in range(3):
        cached = predict(model, recording, index, context_cache=cache)

        assert torch.equal(cached, predict(model, recording, index))


def test_contexts_are_projected_once(model: InfiniteTalkTransformer3DModel) -> None:
    calls = []
    projections = [
        model.audio_projection,
        model.condition_embedder.text_embedder,
        model.condition_embedder.image_embedder,
        *(block.attn2.to_k for block in model.blocks),
        *(block.attn2.add_v_proj for block in model.blocks),
        *(block.attn_audio.to_kv for block in model.blocks),
    ]
    handles = [
        p.register_forward_hook(lambda module, args, output: calls.append(module)) for p in projections
    ]
    cache = InfiniteTalkContextCache()
    for index in range(3):
        predict(model, "transformer_one", index, context_cache=cache)
    for handle in handles:
        handle.remove()

    assert sorted(map(id, calls)) == sorted(map(id, projections))


def test_a_new_window_gets_its_own_audio(model: InfiniteTalkTransformer3DModel) -> None:
    cache = InfiniteTalkContextCache()
    other_audio = tensors("transformer_one")["audio"].flip(1)
    predict(model, "transformer_one", 0, context_cache=cache)

    cache.clear_audio()
    cached = predict(model, "transformer_one", 0, context_cache=cache, audio_embeds=other_audio)

    assert torch.equal(cached, predict(model, "transformer_one", 0, audio_embeds=other_audio))


def test_the_places_of_two_speakers_are_looked_up_once_a_window(
    model: InfiniteTalkTransformer3DModel,
) -> None:
    cache = InfiniteTalkContextCache()
    swapped = tensors("transformer_two")["ref_target_masks"][[1, 0, 2]]
    first = predict(model, "transformer_two", 0, context_cache=cache)

    kept = predict(model, "transformer_two", 0, context_cache=cache, speaker_masks=swapped)
    cache.clear_audio()
    anew = predict(model, "transformer_two", 0, context_cache=cache, speaker_masks=swapped)

    assert torch.equal(kept, first)
    assert torch.equal(anew, predict(model, "transformer_two", 0, speaker_masks=swapped))
    assert not torch.equal(anew, first)


def test_passes_share_what_they_have_in_common(model: InfiniteTalkTransformer3DModel) -> None:
    cond = InfiniteTalkContextCache()
    drop_audio = InfiniteTalkContextCache(text=cond.text, image=cond.image)
    predict(model, "transformer_one", 0, context_cache=cond)

    cached = predict(model, "transformer_one", 0, context_cache=drop_audio, audio_embeds=None)

    assert torch.equal(cached, predict(model, "transformer_one", 0, audio_embeds=None))
    assert drop_audio.text.nbytes == cond.text.nbytes > 0


def test_the_cache_tells_its_size(model: InfiniteTalkTransformer3DModel) -> None:
    config = golden_config()
    width = config["num_attention_heads"] * config["attention_head_dim"]
    null_audio = InfiniteTalkContextCache()
    assert null_audio.nbytes == 0

    predict(model, "transformer_one", 0, context_cache=null_audio, audio_embeds=None)

    keys_and_values = 2 * config["num_layers"] * width * 4
    assert null_audio.text.nbytes == 512 * (keys_and_values + width * 4)
    assert null_audio.image.nbytes == 257 * (keys_and_values + width * 4)
    assert null_audio.audio.nbytes == 2 * 32 * (keys_and_values + config["audio_token_dim"] * 4)
