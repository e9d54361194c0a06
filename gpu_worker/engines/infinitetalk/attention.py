"""Which attention kernels the transformer computes with."""

from importlib.util import find_spec

NATIVE = "native"
"""torch's own scaled dot product attention: always there, always right."""

# Fastest first: the package that must be installed, and diffusers' name of the backend.
FASTER = (("sageattention", "sage"), ("flash_attn_interface", "_flash_3"), ("flash_attn", "flash"))


def choose_backend(device_type: str) -> str:
    """The fastest backend that is installed; only a GPU has a choice."""
    if device_type != "cuda":
        return NATIVE
    return next((backend for package, backend in FASTER if find_spec(package)), NATIVE)
