"""What a video costs its customer: the plan's price per second times what was asked of the GPU."""

from decimal import Decimal

from gpu_worker.contract.presets import PresetName, Resolution
from jobs.models import Job

# Rounded from the transformer's work: 480p costs about 0.28 of the FLOPs of 720p a forward, and the
# presets run 8, 16 and 120 forwards a window. The quality preset is priced below its work.
PRESET_FACTORS: dict[PresetName, Decimal] = {
    PresetName.FAST: Decimal("1"),
    PresetName.BALANCED: Decimal("1.8"),
    PresetName.QUALITY: Decimal("10"),
}
RESOLUTION_FACTORS: dict[Resolution, Decimal] = {
    Resolution.P480: Decimal("0.5"),
    Resolution.P720: Decimal("1"),
}
MICRO_USD = Decimal("0.000001")


def cost_usd(seconds: Decimal, job: Job) -> Decimal:
    """The price of `seconds` of the job's video in USD, to a millionth."""
    factor = PRESET_FACTORS[PresetName(job.preset)] * RESOLUTION_FACTORS[Resolution(job.resolution)]
    return (seconds * job.price_per_video_second_usd * factor).quantize(MICRO_USD)
