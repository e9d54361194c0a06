from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from InfiniteTalk.transformer import EmptySpeakerMaskError, InfiniteTalkTransformer3DModel

from .golden_transformer import golden_model, predict
from .recordings import tensors


@pytest.fixture(scope="module")
def model() -> InfiniteTalkTransformer3DModel:
    return golden_model()


class LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, tuple | list) else (output,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return output


def masks_without(*empty: int) -> torch.Tensor:
    masks = tensors("transformer_two")["ref_target_masks"].clone()
    masks[list(empty)] = 0
    return masks


@pytest.mark.parametrize("speaker", [1, 2])
def test_a_speaker_without_a_place_in_the_picture_is_refused_by_number(
    model: InfiniteTalkTransformer3DModel, speaker: int
) -> None:
    with pytest.raises(EmptySpeakerMaskError, match=f"speaker {speaker}"):
        predict(model, "transformer_two", 0, speaker_masks=masks_without(speaker - 1))


def test_speakers_who_fill_the_picture_are_told_apart(model: InfiniteTalkTransformer3DModel) -> None:
    masks = torch.zeros(3, 12, 8)
    masks[0, :, :4] = 1
    masks[1, :, 4:] = 1
    places: list[torch.Tensor] = []
    handle = model.blocks[0].attn1.register_forward_hook(lambda _, args, output: places.append(output[1]))
    velocity = predict(model, "transformer_two", 0, speaker_masks=masks)
    handle.remove()

    assert velocity.isfinite().all()
    listens_to_first, listens_to_second = places[0] <= 4, places[0] >= 20
    assert (listens_to_first | listens_to_second).all()
    assert listens_to_first.any()
    assert listens_to_second.any()


def test_the_masks_do_not_matter_with_one_speaker(model: InfiniteTalkTransformer3DModel) -> None:
    velocity = predict(model, "transformer_one", 0, speaker_masks=None)

    assert torch.equal(velocity, predict(model, "transformer_one", 0))


def test_two_speakers_need_masks(model: InfiniteTalkTransformer3DModel) -> None:
    with pytest.raises(ValueError, match="speaker_masks"):
        predict(model, "transformer_two", 0, speaker_masks=None)


def test_audio_of_another_length_is_refused(model: InfiniteTalkTransformer3DModel) -> None:
    audio = tensors("transformer_one")["audio"][:, :5]

    with pytest.raises(ValueError, match="9 frames"):
        predict(model, "transformer_one", 0, audio_embeds=audio)


def test_three_speakers_are_refused(model: InfiniteTalkTransformer3DModel) -> None:
    audio = tensors("transformer_one")["audio"].expand(3, -1, -1, -1, -1)

    with pytest.raises(ValueError, match="1 or 2 speakers"):
        predict(model, "transformer_one", 0, audio_embeds=audio)


def test_a_prompt_that_would_be_cut_is_refused(model: InfiniteTalkTransformer3DModel) -> None:
    with pytest.raises(ValueError, match="513 tokens"):
        predict(model, "transformer_one", 0, encoder_hidden_states=torch.zeros(1, 513, 64))


def test_two_windows_at_once_are_refused(model: InfiniteTalkTransformer3DModel) -> None:
    with pytest.raises(ValueError, match="batch of 2"):
        predict(model, "transformer_one", 0, hidden_states=torch.zeros(2, 36, 3, 12, 8))


def test_the_grid_may_change_from_call_to_call(model: InfiniteTalkTransformer3DModel) -> None:
    wide = torch.randn(1, 36, 3, 4, 16, generator=torch.Generator().manual_seed(0))
    alone = predict(model, "transformer_one", 0, hidden_states=wide)
    predict(model, "transformer_one", 0)

    assert torch.equal(predict(model, "transformer_one", 0, hidden_states=wide), alone)
    assert not torch.equal(alone, predict(model, "transformer_one", 0, hidden_states=wide.flip(3)))


def test_memory_does_not_grow_with_the_square_of_the_tokens(model: InfiniteTalkTransformer3DModel) -> None:
    wide = torch.randn(1, 36, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    tokens_per_frame = 24 * 24
    masks = torch.zeros(3, 48, 48)
    masks[0, :, :16], masks[1, :, 16:32], masks[2, :, 32:] = 1, 1, 1
    with LargestTensor() as largest:
        predict(model, "transformer_two", 0, hidden_states=wide, speaker_masks=masks)

    assert largest.elements < 3 * tokens_per_frame * tokens_per_frame
