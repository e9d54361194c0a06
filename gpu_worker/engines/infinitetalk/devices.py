"""What an engine asks of the device that it computes on; all calls of `torch.cuda` stand here."""

import logging
from dataclasses import dataclass
from typing import Protocol

import torch

log = logging.getLogger(__name__)

FLOAT8_CAPABILITY = (8, 9)
"""From Ada on, GPUs multiply in float8."""


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of a device, in bytes; the peak is that of this process since `Device.reset_peak`."""

    free: int
    total: int
    peak: int


class Device(Protocol):
    """Where the models compute.

    Attributes:
        torch_device: What tensors are moved to.
        name: The device's name for the receipt.
        dtype: What transformer and T5 compute in.
        multiplies_float8: Whether it has units for products of float8 matrices.
        has_streams: Whether weights can be copied to it while it computes.
    """

    torch_device: torch.device
    name: str
    dtype: torch.dtype
    multiplies_float8: bool
    has_streams: bool

    def memory(self) -> DeviceMemory | None:
        """Its memory; None where models are in the host's memory."""
        ...

    def utilisation(self) -> float | None:
        """Its load from 0 to 1; None where that is unknown."""
        ...

    def reset_peak(self) -> None: ...

    def empty_cache(self) -> None:
        """Give memory that no tensor uses back to the device."""
        ...


class Cpu:
    """The host's processor."""

    torch_device = torch.device("cpu")
    name = "cpu"
    dtype = torch.float32
    multiplies_float8 = False
    has_streams = False

    def memory(self) -> None:
        return None

    def utilisation(self) -> None:
        return None

    def reset_peak(self) -> None:
        """Nothing is counted here."""

    def empty_cache(self) -> None:
        """The host's allocator keeps no cache of tensors."""


class Cuda:
    """The current NVIDIA GPU."""

    torch_device = torch.device("cuda")
    dtype = torch.bfloat16
    has_streams = True

    def __init__(self) -> None:
        self.name = torch.cuda.get_device_name(self.torch_device)
        self.multiplies_float8 = torch.cuda.get_device_capability(self.torch_device) >= FLOAT8_CAPABILITY

    def memory(self) -> DeviceMemory:
        free, total = torch.cuda.mem_get_info(self.torch_device)
        return DeviceMemory(free, total, torch.cuda.max_memory_allocated(self.torch_device))

    def utilisation(self) -> float | None:
        try:
            return torch.cuda.utilization(self.torch_device) / 100
        except Exception as error:  # NVML's errors are many, and the value is worth no heartbeat.
            log.debug("the GPU's utilisation is unknown: %s", error)
            return None

    def reset_peak(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def empty_cache(self) -> None:
        torch.cuda.empty_cache()


def find_device() -> Device:
    """The GPU where there is one, else the CPU."""
    return Cuda() if torch.cuda.is_available() else Cpu()
