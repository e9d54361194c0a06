"""The neural networks that come with the package, checked before they are used."""

import hashlib
from pathlib import Path

from gpu_worker.engines.base import RenderError

SHA256 = {
    "face_detector.tflite": "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
    "face_landmarks_detector.tflite": "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
    "face_mesh_triangles.npy": "d18da20980f776806906e4e67e93088b9cfb43c9c4d7f863489f5106d5343c5b",
}


def model_path(name: str) -> Path:
    """Where a model file lies.

    Raises:
        RenderError: `model_unavailable`: it is missing or not the one that was shipped.
    """
    path = Path(__file__).parent / "models" / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[name]:
        raise RenderError("model_unavailable", f"{name} of the preview engine is missing or damaged.")
    return path
