"""What a video costs its customer: the plan's price per second times the factors of preset and resolution."""

from decimal import Decimal

from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from jobs.models import Job

# Rounded from the transformer's work: 480p costs about 0.28 of the FLOPs of 720p a forward.
RESOLUTION_FACTORS: dict[Resolution, Decimal] = {
    Resolution.P480: Decimal("0.5"),
    Resolution.P720: Decimal("1"),
}
MICRO_USD = Decimal("0.000001")


def cost_usd(seconds: Decimal, job: Job) -> Decimal:
    """The price of `seconds` of the job's video in USD, to a millionth; test mode is free."""
    if not job.livemode:
        return Decimal(0)
    factor = PRESETS[PresetName(job.preset)].price_factor * RESOLUTION_FACTORS[Resolution(job.resolution)]
    return (seconds * job.price_per_video_second_usd * factor).quantize(MICRO_USD)
