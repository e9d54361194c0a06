from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from InfiniteTalk.speech_encoding import (
    LongSpeechEmbeddings,
    SpeechTooShortError,
    embed_speech,
    encode_speech,
)
from InfiniteTalk.windows import video_length
from tests.infinitetalk.recordings import GOLDEN, error, metadata, tensors


@pytest.fixture(scope="module")
def wav2vec2() -> Wav2Vec2Model:
    return Wav2Vec2Model.from_pretrained(GOLDEN / "wav2vec_tiny").eval()


@pytest.fixture(scope="module")
def feature_extractor() -> Wav2Vec2FeatureExtractor:
    return Wav2Vec2FeatureExtractor.from_pretrained(GOLDEN / "wav2vec_tiny")


def test_speech_is_embedded_as_by_the_reference(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    recorded = tensors("audio_frontend")
    ours = encode_speech(recorded["speech_normalised"].numpy(), wav2vec2, feature_extractor)
    assert error(ours, recorded["embedding"]) < 1e-5


def test_silence_is_embedded_as_by_the_reference(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    silence = np.zeros(metadata("audio_frontend")["silence_samples"], np.float32)
    ours = encode_speech(silence, wav2vec2, feature_extractor)
    assert error(ours, tensors("audio_frontend")["silence_embedding"]) < 1e-5


def test_long_speech_has_the_convolutional_features_of_the_whole(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    """With margins as long as the speech, the pieces see what the whole sees."""
    recorded = tensors("audio_frontend")
    embeddings = LongSpeechEmbeddings(
        recorded["speech_normalised"].numpy(), wav2vec2, feature_extractor, piece_frames=10, margin_frames=36
    )
    assert len(embeddings) == 36
    assert error(embeddings[torch.arange(36)], recorded["embedding"]) < 1e-4


def test_a_frame_of_long_speech_has_the_same_bits_whichever_was_asked_for_before(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    speech = tensors("audio_frontend")["speech_normalised"].numpy()
    in_order = LongSpeechEmbeddings(speech, wav2vec2, feature_extractor, piece_frames=10, margin_frames=5)
    asked_late = LongSpeechEmbeddings(speech, wav2vec2, feature_extractor, piece_frames=10, margin_frames=5)
    whole = in_order[torch.arange(36)]
    assert torch.equal(
        asked_late[torch.tensor([[28, 31], [29, 35]])], whole[torch.tensor([[28, 31], [29, 35]])]
    )


def test_speech_above_the_limit_is_encoded_in_pieces(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    speech = np.random.default_rng(0).standard_normal(61 * 16_000).astype(np.float32)
    embeddings = embed_speech(speech, wav2vec2, feature_extractor)
    assert isinstance(embeddings, LongSpeechEmbeddings)
    assert len(embeddings) == 61 * 25
    assert embeddings[torch.tensor([0, 1524])].shape == (2, 4, 32)


def test_a_third_of_a_second_of_speech_is_enough(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    speech = tensors("audio_frontend")["speech_normalised"].numpy()[:4800]
    assert encode_speech(speech, wav2vec2, feature_extractor).shape == (7, 4, 32)


def test_less_than_a_frame_of_speech_is_refused(
    wav2vec2: Wav2Vec2Model, feature_extractor: Wav2Vec2FeatureExtractor
) -> None:
    with pytest.raises(SpeechTooShortError):
        encode_speech(np.zeros(639, np.float32), wav2vec2, feature_extractor)


def test_frames_are_counted_in_floating_point_as_by_the_reference() -> None:
    for num_samples, frames in metadata("audio_frontend")["frame_counts"]:
        assert video_length(num_samples, reference_compat=True) == frames


def test_a_video_covers_its_speech_and_not_a_frame_more() -> None:
    assert [video_length(samples) for samples in (1, 640, 641, 18_560, 23_420)] == [1, 1, 2, 29, 37]
    for shorter, longer in pairwise(range(640, 20_000, 640)):
        assert video_length(longer) == video_length(shorter) + 1
