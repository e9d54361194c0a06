"""What diffusers offers for its own models works on ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import FirstBlockCacheConfig, PyramidAttentionBroadcastConfig, TorchAoConfig
from torch._dynamo.utils import counters
from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig
from torchao.utils import TorchAOBaseTensor

from InfiniteTalk.transformer import InfiniteTalkContextCache, InfiniteTalkTransformer3DModel

from .golden_transformer import golden_model, predict
from .recordings import error, tensors

TOLERANCE = 1e-5
ONE, TWO = "transformer_one", "transformer_two"


@pytest.fixture
def model() -> InfiniteTalkTransformer3DModel:
    return golden_model()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transformer")
    golden_model().save_pretrained(folder)
    return folder


@pytest.fixture
def default_backend(model: InfiniteTalkTransformer3DModel) -> Iterator[None]:
    """Diffusers keeps the last backend chosen for every model of the process."""
    yield
    model.set_attention_backend("native")


def recorded(name: str, index: int = 0) -> torch.Tensor:
    return tensors(name)["out"][index]


def relative_error(ours: torch.Tensor, name: str) -> float:
    return ((ours - recorded(name)).norm() / recorded(name).norm()).item()


def test_a_saved_model_comes_back(saved: Path, model: InfiniteTalkTransformer3DModel) -> None:
    loaded = InfiniteTalkTransformer3DModel.from_pretrained(saved)

    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    assert error(predict(loaded, TWO, 0), recorded(TWO)) <= TOLERANCE


def test_in_bf16_what_must_be_precise_stays_in_float32(saved: Path) -> None:
    model = InfiniteTalkTransformer3DModel.from_pretrained(saved, torch_dtype=torch.bfloat16)
    dtypes = {name: weight.dtype for name, weight in model.state_dict().items()}

    precise = ("time_embedder", "time_proj", "scale_shift_table", "norm1", "norm2", "norm_audio", "proj_out")
    for name, dtype in dtypes.items():
        is_precise = any(part in precise for part in name.split("."))
        assert dtype == (torch.float32 if is_precise else torch.bfloat16), name
    velocity = predict(model, ONE, 0)
    assert velocity.dtype == torch.float32
    assert relative_error(velocity, ONE) <= 0.01
    assert predict(model, TWO, 0).isfinite().all()


@pytest.mark.parametrize("level", ["block_level", "leaf_level"])
def test_groups_of_layers_can_be_offloaded(
    model: InfiniteTalkTransformer3DModel, tmp_path: Path, level: str
) -> None:
    cpu = torch.device("cpu")
    model.enable_group_offload(
        onload_device=cpu,
        offload_device=cpu,
        offload_type=level,
        num_blocks_per_group=1,
        offload_to_disk_path=str(tmp_path),
    )
    cache = InfiniteTalkContextCache()
    for index in range(3):
        velocity = predict(model, TWO, index, context_cache=cache)

        assert error(velocity, recorded(TWO, index)) <= TOLERANCE
    assert len(list(tmp_path.iterdir())) >= len(model.blocks)


def test_layers_can_be_stored_in_fp8_and_computed_in_float32(model: InfiniteTalkTransformer3DModel) -> None:
    model.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)

    block = model.blocks[0]
    stored = {linear.weight.dtype for linear in (block.attn1.to_q, block.attn_audio.to_kv, block.ffn.net[2])}
    kept = {layer.weight.dtype for layer in (model.audio_projection.proj1, model.proj_out, block.norm_audio)}
    assert stored == {torch.float8_e4m3fn}
    assert kept == {torch.float32}
    assert relative_error(predict(model, ONE, 0), ONE) <= 0.05


@pytest.mark.usefixtures("default_backend")
@pytest.mark.parametrize("recording", [ONE, TWO])
def test_the_attention_backend_can_be_chosen(model: InfiniteTalkTransformer3DModel, recording: str) -> None:
    model.set_attention_backend("_native_math")

    assert {processor._attention_backend.value for processor in model.attn_processors.values()} == {
        "_native_math"
    }
    assert len(model.attn_processors) == 3 * len(model.blocks)
    assert error(predict(model, recording, 0), recorded(recording)) <= TOLERANCE


def test_projections_can_be_fused(model: InfiniteTalkTransformer3DModel) -> None:
    model.fuse_qkv_projections()

    assert all(block.attn1.fused_projections and block.attn2.fused_projections for block in model.blocks)
    assert error(predict(model, TWO, 0), recorded(TWO)) <= TOLERANCE


def test_blocks_compile_once_for_all(model: InfiniteTalkTransformer3DModel) -> None:
    torch._dynamo.reset()
    counters.clear()
    # The graphs are what we answer for; turning them into machine code takes too long for a test.
    model.compile_repeated_blocks(fullgraph=True, backend="eager")
    cache = InfiniteTalkContextCache()
    for index in range(2):
        velocity = predict(model, TWO, index, context_cache=cache)

        assert error(velocity, recorded(TWO, index)) <= TOLERANCE
    assert counters["stats"]["unique_graphs"] == 1  # filling the cache takes place outside


def test_first_block_cache_skips_the_blocks_after_the_first(model: InfiniteTalkTransformer3DModel) -> None:
    model.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    ran: list[bool] = []
    model.blocks[1].attn1.register_forward_hook(lambda module, args, output: ran.append(True))
    with model.cache_context("cond"):
        computed, skipped = predict(model, TWO, 0), predict(model, TWO, 1)
    model.disable_cache()

    assert error(computed, recorded(TWO)) <= TOLERANCE
    assert skipped.isfinite().all()
    assert len(ran) == 1


def test_pyramid_attention_broadcast_reuses_every_attention(model: InfiniteTalkTransformer3DModel) -> None:
    ran: list[str] = []
    block = model.blocks[0]
    for name in ("attn1", "attn2", "attn_audio"):
        output = (
            block.get_submodule(name).to_out if name == "attn_audio" else block.get_submodule(name).to_out[0]
        )
        output.register_forward_hook(lambda module, args, output, name=name: ran.append(name))
    model.enable_cache(
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            cross_attention_block_skip_range=3,
            current_timestep_callback=lambda: 500,
        )
    )
    computed = predict(model, TWO, 0)
    for index in (1, 2):
        assert predict(model, TWO, index).isfinite().all()

    assert error(computed, recorded(TWO)) <= TOLERANCE
    assert sorted(ran) == ["attn1", "attn1", "attn2", "attn_audio"]


def test_a_lora_adapts_base_and_audio_layers_and_goes_without_a_trace(
    model: InfiniteTalkTransformer3DModel,
) -> None:
    merged = golden_model()
    generator = torch.Generator().manual_seed(0)
    adapter = {}
    for name in ("blocks.0.attn1.to_q", "blocks.1.attn_audio.to_kv", "blocks.2.ffn.net.0.proj", "proj_out"):
        linear = merged.get_submodule(name)
        down = 0.1 * torch.randn(4, linear.in_features, generator=generator)
        up = 0.1 * torch.randn(linear.out_features, 4, generator=generator)
        adapter |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
        linear.weight += up @ down

    model.load_lora_adapter(adapter, prefix=None, adapter_name="distilled")

    assert error(predict(model, TWO, 0), predict(merged, TWO, 0)) <= TOLERANCE
    assert error(predict(model, TWO, 0, attention_kwargs={"scale": 0.0}), recorded(TWO)) <= TOLERANCE
    model.unload_lora()
    assert error(predict(model, TWO, 0), recorded(TWO)) <= TOLERANCE


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [(Int8WeightOnlyConfig(version=2), 0.02), (Float8WeightOnlyConfig(), 0.06)],
    ids=["int8", "float8"],
)
def test_weights_can_be_quantised_by_torchao_and_saved_so(
    saved: Path, tmp_path: Path, precision: Int8WeightOnlyConfig | Float8WeightOnlyConfig, tolerance: float
) -> None:
    model = InfiniteTalkTransformer3DModel.from_pretrained(
        saved, quantization_config=TorchAoConfig(precision), torch_dtype=torch.bfloat16
    )
    assert isinstance(model.blocks[0].attn_audio.to_q.weight, TorchAOBaseTensor)
    assert not isinstance(model.condition_embedder.time_proj.weight, TorchAOBaseTensor)
    assert relative_error(predict(model, ONE, 0), ONE) <= tolerance

    model.save_pretrained(tmp_path)
    again = InfiniteTalkTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert error(predict(again, ONE, 0), predict(model, ONE, 0)) <= TOLERANCE
