"""Speech → embeddings at 25 frames a second: transformers' wav2vec 2.0, its features resampled in between.

Up to `WHOLE_SPEECH_SECONDS` the speech is encoded at once, exactly as the model was trained. Above, three
things would grow with its length: the features of the convolutions (6 MB a second in the first), the
attention (with the square) and the result (0.9 MB a second). Longer speech is therefore encoded piece by
piece when its frames are asked for. Its normalisation and its convolutional features stay those of the whole
speech, up to rounding; only the reach of the attention ends `MARGIN_FRAMES` beyond a piece.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

from InfiniteTalk.audio import Speech, SpeechEmbeddings
from InfiniteTalk.windows import SAMPLES_PER_FRAME, SAMPLING_RATE, video_length

WHOLE_SPEECH_SECONDS = 60
PIECE_FRAMES = 1000
MARGIN_FRAMES = 250


class SpeechTooShortError(ValueError):
    """There is less than one video frame of speech."""


def encode_speech(
    speech: Speech,
    wav2vec2: Wav2Vec2Model,
    feature_extractor: Wav2Vec2FeatureExtractor,
    *,
    reference_compat: bool = False,
) -> torch.Tensor:
    """Encode 16 kHz mono `speech` [n] at once.

    The features of the convolutions (about 50 a second) are interpolated linearly, both ends aligned, to 25 a
    second before the transformer sees them.

    Returns:
        Outputs of all transformer layers, float32 [L, layers, width] on the CPU; L counts whole frames only.

    Raises:
        SpeechTooShortError: The speech is shorter than one frame, 40 ms.
    """
    num_frames = _num_frames(speech, reference_compat)
    samples = torch.from_numpy(_normalized(speech, feature_extractor)).to(_device(wav2vec2))
    with torch.no_grad():
        features = wav2vec2.feature_extractor(samples[None])
        features = interpolate(features, size=num_frames, mode="linear", align_corners=True)
        return _encode_features(wav2vec2, features.transpose(1, 2)).cpu()


def embed_speech(
    speech: Speech,
    wav2vec2: Wav2Vec2Model,
    feature_extractor: Wav2Vec2FeatureExtractor,
    *,
    reference_compat: bool = False,
) -> SpeechEmbeddings:
    """Embeddings of speech of any length; with `reference_compat` encoded at once, however long.

    Raises:
        SpeechTooShortError: The speech is shorter than one frame, 40 ms.
    """
    if reference_compat or len(speech) <= WHOLE_SPEECH_SECONDS * SAMPLING_RATE:
        return encode_speech(speech, wav2vec2, feature_extractor, reference_compat=reference_compat)
    return LongSpeechEmbeddings(speech, wav2vec2, feature_extractor)


class LongSpeechEmbeddings:
    """Embeddings of long speech, encoded piece by piece where they are asked for.

    A frame's embedding depends on the speech and on its own index alone, so a render that starts in the
    middle gets the bits that one from the start gets. The last two pieces are kept.

    Args:
        speech: Mono [n] at 16 kHz.
        wav2vec2: A model with group norm in its first convolution, as the base models have.
        feature_extractor: It normalises the speech.
        piece_frames: Frames of a piece.
        margin_frames: Frames on either side of a piece that its attention sees as well.
    """

    def __init__(
        self,
        speech: Speech,
        wav2vec2: Wav2Vec2Model,
        feature_extractor: Wav2Vec2FeatureExtractor,
        piece_frames: int = PIECE_FRAMES,
        margin_frames: int = MARGIN_FRAMES,
    ) -> None:
        self.num_frames = _num_frames(speech, reference_compat=False)
        self.piece_frames, self.margin_frames = piece_frames, margin_frames
        self.wav2vec2 = wav2vec2
        self.samples = torch.from_numpy(_normalized(speech, feature_extractor))
        self.num_features = int(wav2vec2._get_feat_extract_output_lengths(len(self.samples)))
        self.hop, self.receptive_field = _geometry(wav2vec2)
        self.mean, self.variance = self._first_layer_statistics()
        self._piece = lru_cache(maxsize=2)(self._encode_piece)

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, frames: torch.Tensor) -> torch.Tensor:
        """Embeddings [*frames.shape, layers, width] of the frames with these indices."""
        pieces = frames // self.piece_frames
        result: torch.Tensor | None = None
        for piece in pieces.unique().tolist():
            chosen = pieces == piece
            embeddings = self._piece(piece)[frames[chosen] - piece * self.piece_frames]
            if result is None:
                result = embeddings.new_empty(*frames.shape, *embeddings.shape[1:])
            result[chosen] = embeddings
        assert result is not None
        return result

    @torch.no_grad()
    def _encode_piece(self, piece: int) -> torch.Tensor:
        start = piece * self.piece_frames
        end = min(start + self.piece_frames, self.num_frames)
        first = max(0, start - self.margin_frames)
        last = min(self.num_frames, end + self.margin_frames)
        embeddings = _encode_features(self.wav2vec2, self._features(first, last))
        return embeddings[start - first : end - first].cpu()

    def _features(self, first: int, last: int) -> torch.Tensor:
        """Features [1, last - first, channels] at the frames' places among those of the whole speech."""
        places = torch.arange(first, last, dtype=torch.float64) * (
            (self.num_features - 1) / (self.num_frames - 1)
        )
        left = places.floor().long().clamp(max=self.num_features - 2)
        begin, end = int(left[0]), int(left[-1]) + 2
        features = self._convolve(begin, end)
        weight = (places - left).to(features)
        left = (left - begin).to(features.device)
        return torch.lerp(features[:, left], features[:, left + 1], weight[:, None])

    def _convolve(self, begin: int, end: int) -> torch.Tensor:
        """Features [1, end - begin, channels] of the convolutions, normalised as in the whole speech."""
        samples = self.samples[begin * self.hop : (end - 1) * self.hop + self.receptive_field]
        first, *others = _conv_layers(self.wav2vec2)
        hidden = first.conv(samples.to(_device(self.wav2vec2))[None, None])
        norm = first.layer_norm
        scale = norm.weight / (self.variance + norm.eps).sqrt()
        hidden = first.activation(hidden * scale[:, None] + (norm.bias - self.mean * scale)[:, None])
        for layer in others:
            hidden = layer(hidden)
        return hidden.transpose(1, 2)

    @torch.no_grad()
    def _first_layer_statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance [channels] over all time of what the first convolution puts out."""
        conv = _conv_layers(self.wav2vec2)[0].conv
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        count = (len(self.samples) - kernel) // stride + 1
        total = torch.zeros(2, conv.out_channels, dtype=torch.float64, device=conv.weight.device)
        step = SAMPLING_RATE  # Outputs at a time: 32 MB in the base model.
        for begin in range(0, count, step):
            end = min(begin + step, count)
            piece = self.samples[begin * stride : (end - 1) * stride + kernel].to(conv.weight.device)
            hidden = conv(piece[None, None])[0].double()
            total += torch.stack([hidden.sum(dim=1), hidden.square().sum(dim=1)])
        mean, square = total / count
        return mean.float(), (square - mean.square()).float()


def _encode_features(wav2vec2: Wav2Vec2Model, features: torch.Tensor) -> torch.Tensor:
    """The transformer half of the model: features [1, L, channels] → all layers' outputs [L, layers, width].

    The layers are called one by one because the encoder of transformers 5 returns the last output only.
    """
    encoder = wav2vec2.encoder
    hidden, _ = wav2vec2.feature_projection(features)
    hidden = encoder.dropout(encoder.layer_norm(hidden + encoder.pos_conv_embed(hidden)))
    outputs = []
    for layer in encoder.layers:
        hidden = layer(hidden)
        outputs.append(hidden[0])
    return torch.stack(outputs, dim=1)


def _num_frames(speech: Speech, reference_compat: bool) -> int:
    if reference_compat:
        num_frames = video_length(len(speech), reference_compat=True)
    else:
        num_frames = len(speech) // SAMPLES_PER_FRAME
    if num_frames < 1:
        raise SpeechTooShortError(
            f"{len(speech)} samples of speech are less than one frame of {SAMPLES_PER_FRAME}"
        )
    return num_frames


def _normalized(speech: Speech, feature_extractor: Wav2Vec2FeatureExtractor) -> np.ndarray:
    values: np.ndarray = feature_extractor(
        speech, sampling_rate=SAMPLING_RATE, return_tensors="np"
    ).input_values[0]
    return values.astype(np.float32)


def _geometry(wav2vec2: Wav2Vec2Model) -> tuple[int, int]:
    """Samples from one feature of the convolutions to the next, and samples that one feature sees."""
    hop = receptive_field = 1
    for layer in _conv_layers(wav2vec2):
        receptive_field += (layer.conv.kernel_size[0] - 1) * hop
        hop *= layer.conv.stride[0]
    return hop, receptive_field


def _conv_layers(wav2vec2: Wav2Vec2Model) -> list[Any]:
    return list(wav2vec2.feature_extractor.conv_layers)


def _device(wav2vec2: Wav2Vec2Model) -> torch.device:
    return wav2vec2.feature_projection.projection.weight.device
