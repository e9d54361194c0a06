"""A prepared folder of Kokoro-82M, whose network has the published inputs and outputs and makes noise."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

from gpu_worker.model_store import manifest

SAMPLES_PER_TOKEN = 1200


def prepare(folder: Path) -> Path:
    (folder / "kokoro").mkdir(parents=True)
    save(network(), folder / "kokoro" / "kokoro-v1.0.onnx")
    drawn = np.random.default_rng(0)
    voices = {
        name: drawn.uniform(0.1, 1, (510, 1, 256)).astype(np.float32)
        for name in ("af_heart", "am_michael", "bf_emma")
    }
    with (folder / "kokoro" / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, allow_pickle=False, **voices)
    manifest.write(manifest.describe(folder, precision="fp32", speakers=(), loras=(), revisions={}), folder)
    return folder


def network() -> ModelProto:
    """Noise, as long as the tokens are many, around a mean that the voice decides."""
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "tokens"]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
    ]
    audio = helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])
    constants = [
        numpy_helper.from_array(np.array([1, SAMPLES_PER_TOKEN]), "repeats"),
        numpy_helper.from_array(np.array([-1]), "flat"),
        numpy_helper.from_array(np.array(50, np.float32), "fifty"),
    ]
    nodes = [
        helper.make_node("Cast", ["tokens"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Tile", ["numbers", "repeats"], ["tiled"]),
        helper.make_node("Reshape", ["tiled", "flat"], ["long"]),
        helper.make_node("RandomNormalLike", ["long"], ["noise"], scale=0.3),
        helper.make_node("ReduceMean", ["style"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "fifty"], ["offset"]),
        helper.make_node("Add", ["noise", "offset"], ["audio"]),
    ]
    graph = helper.make_graph(nodes, "noise", inputs, [audio], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
