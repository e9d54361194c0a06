"""The transformer against its definition, written down a second time: NumPy, float64, attention maps and all.

The size is one that recordings leave out: three heads of an odd number of pairs, a wide grid of odd sides.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from InfiniteTalk.checkpoints.key_maps import original_transformer_key
from InfiniteTalk.transformer import InfiniteTalkTransformer3DModel

Array = npt.NDArray[np.float64]

HEADS, HEAD_DIM, FRAMES, ROWS, COLUMNS = 3, 14, 3, 3, 5
DIM, TOKENS, SPEAKER_TOKENS = HEADS * HEAD_DIM, FRAMES * ROWS * COLUMNS, 4


def softmax(scores: Array) -> Array:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def layer_norm(x: Array, eps: float) -> Array:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def turned(x: Array, angles: Array) -> Array:
    """Pairs of neighbouring channels [..., D] turned by [..., D / 2]."""
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    return np.stack((pairs.real, pairs.imag), axis=-1).reshape(x.shape)


def frequencies(channels: int) -> Array:
    return 10000.0 ** (-np.arange(0, channels, 2) / channels)


def positions() -> Array:
    """The angles [N, 1, D / 2] of all tokens: frame, row, column."""
    side = 2 * (HEAD_DIM // 6)
    axes = (frequencies(HEAD_DIM - 2 * side), frequencies(side), frequencies(side))
    grid = np.indices((FRAMES, ROWS, COLUMNS)).reshape(3, TOKENS)
    return np.concatenate([np.outer(*pair) for pair in zip(grid, axes, strict=True)], axis=1)[:, None]


class ByHand:
    """The definition, with the weights under their original names."""

    def __init__(self, model: InfiniteTalkTransformer3DModel) -> None:
        self.weights = {
            original_transformer_key(name): weight.double().numpy()
            for name, weight in model.state_dict().items()
        }

    def linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: Array, eps: float) -> Array:
        return layer_norm(x, eps) * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def rms(self, name: str, x: Array) -> Array:
        scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * self.weights[f"{name}.weight"]
        return self.heads(scaled)

    def heads(self, x: Array) -> Array:
        return x.reshape(len(x), HEADS, HEAD_DIM)

    def attend(self, query: Array, key: Array, value: Array) -> Array:
        scores = np.einsum("nhd,mhd->hnm", query, key) / np.sqrt(HEAD_DIM)
        return np.einsum("hnm,mhd->nhd", softmax(scores), value).reshape(len(query), -1)

    def velocity(self, inputs: dict[str, Any]) -> Array:
        inputs = {
            name: value.double().numpy() for name, value in inputs.items() if isinstance(value, torch.Tensor)
        }
        # Tokens
        patches = inputs["hidden_states"][0].reshape(36, FRAMES, ROWS, 2, COLUMNS, 2)
        patches = patches.transpose(1, 2, 4, 0, 3, 5).reshape(TOKENS, -1)
        x = patches @ self.weights["patch_embedding.weight"].reshape(DIM, -1).T
        x = x + self.weights["patch_embedding.bias"]
        # Time
        angles = inputs["timestep"] * 10000.0 ** (-np.arange(5) / 5)
        e = np.concatenate((np.cos(angles), np.sin(angles)))
        e = self.linear("time_embedding.2", silu(self.linear("time_embedding.0", e)))
        e0 = self.linear("time_projection.1", silu(e)).reshape(6, DIM)
        # Contexts
        text = np.zeros((512, inputs["encoder_hidden_states"].shape[2]))
        text[: inputs["encoder_hidden_states"].shape[1]] = inputs["encoder_hidden_states"][0]
        text = self.linear("text_embedding.2", gelu_tanh(self.linear("text_embedding.0", text)))
        image = self.norm("img_emb.proj.0", inputs["encoder_hidden_states_image"][0], 1e-5)
        image = self.linear("img_emb.proj.1", image)
        image = torch.nn.functional.gelu(torch.from_numpy(image)).numpy()
        image = self.norm("img_emb.proj.4", self.linear("img_emb.proj.3", image), 1e-5)
        audio = [self.audio_tokens(speaker) for speaker in inputs["audio_embeds"]]
        # Blocks
        for index in range(2):
            x = self.block(f"blocks.{index}.", x, e0, text, image, audio, inputs["speaker_masks"])
        # Head
        shift, scale = self.weights["head.modulation"][0] + e
        x = self.linear("head.head", layer_norm(x, 1e-6) * (1 + scale) + shift)
        x = x.reshape(FRAMES, ROWS, COLUMNS, 2, 2, 16).transpose(5, 0, 1, 3, 2, 4)
        return x.reshape(16, FRAMES, 2 * ROWS, 2 * COLUMNS)

    def audio_tokens(self, windows: Array) -> Array:
        """[T, tokens, width] of one speaker's windows [F, 5, layers, channels]."""
        frames = [self.linear("audio_proj.proj1", windows[0].ravel())]
        for first in range(1, len(windows), 4):
            a, b, c, d = windows[first : first + 4]
            joined = np.concatenate((a[:3], b[2:3], c[2:3], d[2:]))
            frames.append(self.linear("audio_proj.proj1_vf", joined.ravel()))
        hidden = np.maximum(self.linear("audio_proj.proj2", np.maximum(np.stack(frames), 0)), 0)
        tokens = self.linear("audio_proj.proj3", hidden).reshape(FRAMES, SPEAKER_TOKENS, -1)
        return self.norm("audio_proj.norm", tokens, 1e-5)

    def block(
        self, name: str, x: Array, e0: Array, text: Array, image: Array, audio: list[Array], masks: Array
    ) -> Array:
        s1, c1, g1, s2, c2, g2 = self.weights[f"{name}modulation"][0] + e0
        n = layer_norm(x, 1e-6) * (1 + c1) + s1
        query = turned(self.rms(f"{name}self_attn.norm_q", self.linear(f"{name}self_attn.q", n)), positions())
        key = turned(self.rms(f"{name}self_attn.norm_k", self.linear(f"{name}self_attn.k", n)), positions())
        value = self.heads(self.linear(f"{name}self_attn.v", n))
        x = x + g1 * self.linear(f"{name}self_attn.o", self.attend(query, key, value))

        cross, n = f"{name}cross_attn.", self.norm(f"{name}norm3", x, 1e-6)
        asking = self.rms(f"{cross}norm_q", self.linear(f"{cross}q", n))
        branches = 0.0
        for tokens, suffix in ((text, ""), (image, "_img")):
            keys = self.rms(f"{cross}norm_k{suffix}", self.linear(f"{cross}k{suffix}", tokens))
            values = self.heads(self.linear(f"{cross}v{suffix}", tokens))
            branches = branches + self.attend(asking, keys, values)
        x = x + self.linear(f"{cross}o", branches)

        places = self.places(query, key, masks) if len(audio) == 2 else None
        x = x + self.audio_attention(
            f"{name}audio_cross_attn.", self.norm(f"{name}norm_x", x, 1e-6), audio, places
        )

        n = layer_norm(x, 1e-6) * (1 + c2) + s2
        return x + g2 * self.linear(f"{name}ffn.2", gelu_tanh(self.linear(f"{name}ffn.0", n)))

    def places(self, query: Array, key: Array, masks: Array) -> Array:
        """Where each token is on the axis that tells the speakers apart."""
        classes = masks[:, ::2, ::2].reshape(3, -1)
        scores = np.einsum("nhd,mhd->hnm", query, key[: ROWS * COLUMNS]) / np.sqrt(HEAD_DIM)
        attention = softmax(scores[: HEADS // 2 * 2]).mean(axis=0)
        r = (attention @ classes.T / classes.sum(axis=1)).T
        share = (r - r.min(axis=1, keepdims=True)) / (np.ptp(r, axis=1)[:, None] + 1e-8)
        choices = np.stack((4 * share[0], 20 + 4 * share[1], np.full(TOKENS, 12.0)))
        return choices[r.argmax(axis=0), np.arange(TOKENS)]

    def audio_attention(self, name: str, n: Array, audio: list[Array], places: Array | None) -> Array:
        query = self.heads(self.linear(f"{name}q_linear", n))
        if places is not None:
            query = turned(query, places[:, None, None] * frequencies(HEAD_DIM))
        outputs = []
        for frame, queries in enumerate(np.split(query, FRAMES)):
            tokens = np.concatenate([speaker[frame] for speaker in audio])
            both = self.linear(f"{name}kv_linear", tokens)
            keys, values = self.heads(both[:, :DIM]), self.heads(both[:, DIM:])
            if places is not None:
                speakers = np.repeat([2.0, 22.0], SPEAKER_TOKENS)[:, None, None]
                keys = turned(keys, speakers * frequencies(HEAD_DIM))
            outputs.append(self.attend(queries, keys, values))
        return self.linear(f"{name}proj", np.concatenate(outputs))


@pytest.fixture(scope="module")
def model() -> InfiniteTalkTransformer3DModel:
    torch.manual_seed(0)
    model = InfiniteTalkTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_DIM,
        text_dim=11,
        freq_dim=10,
        ffn_dim=23,
        num_layers=2,
        image_dim=9,
        added_kv_proj_dim=DIM,
        audio_blocks=2,
        audio_channels=3,
        audio_hidden_dim=8,
        audio_token_dim=6,
        audio_tokens=SPEAKER_TOKENS,
    )
    for weight in model.parameters():
        weight.data = torch.randn_like(weight) * (0.5 if weight.dim() < 2 else weight[0].numel() ** -0.5)
    return model.requires_grad_(False).eval()


@pytest.mark.parametrize("speakers", [1, 2])
def test_the_velocity_is_the_one_worked_out_by_hand(
    model: InfiniteTalkTransformer3DModel, speakers: int
) -> None:
    torch.manual_seed(speakers)
    masks = torch.zeros(3, 2 * ROWS, 2 * COLUMNS)
    masks[0, :, :3], masks[1, 2:, 5:9] = 1, 1
    masks[2] = masks[:2].sum(dim=0) == 0
    inputs = {
        "hidden_states": torch.randn(1, 36, FRAMES, 2 * ROWS, 2 * COLUMNS),
        "timestep": torch.tensor([871.5]),
        "encoder_hidden_states": torch.randn(1, 7, 11),
        "encoder_hidden_states_image": torch.randn(1, 257, 9),
        "audio_embeds": torch.randn(speakers, 4 * FRAMES - 3, 5, 2, 3),
        "speaker_masks": masks,
    }

    velocity = model(**inputs).sample[0].numpy()

    by_hand = ByHand(model).velocity(inputs)
    assert by_hand.std() > 0.3
    assert np.abs(velocity - by_hand).max() < 2e-5
