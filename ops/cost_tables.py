"""The tables of docs/COSTS.md: `python -m ops.cost_tables` writes them anew.

Seconds come from the model of `gpu_worker.contract.costs`, prices from the table here. In the document a
table stands between `<!-- computed: NAME -->` and `<!-- end -->`; everything else is prose.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_worker.contract.costs import estimated_gpu_seconds
from gpu_worker.contract.presets import PRESETS, PresetName, Resolution
from gpu_worker.contract.setups import H100, L40S, RTX_4090, Gpu

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "COSTS.md"
FRAMES_PER_SECOND = 25
DAYS_A_MONTH = 30
SECONDS_OF_VIDEO = 60

REQUESTS_A_DAY = (10, 100, 1000)
IDLE_SECONDS = 60
START_SECONDS = 60
VOLUME_GB = 50
VOLUME_USD_PER_GB_MONTH = 0.07
HOSTED_USD_PER_SECOND = {Resolution.P480: 0.03, Resolution.P720: 0.06}
"""What hosted InfiniteTalk is offered for publicly, by second of video."""

_MARKED = re.compile(r"(<!-- computed: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Offer:
    """A GPU as RunPod serverless rents it: woken for work (`flex`), or kept (`active`); USD a second."""

    gpu: Gpu
    flex: float
    active: float | None = None


OFFERS = (Offer(L40S, 0.00053, 0.00037), Offer(RTX_4090, 0.00031), Offer(H100, 0.00116))
MAIN = OFFERS[0]


def with_tables(document: str) -> str:
    """The document with all its tables as they are now."""
    return _MARKED.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}{match[3]}", document)


def prices() -> str:
    rows = [[offer.gpu.name, usd(offer.flex), usd(offer.active)] for offer in OFFERS]
    return _table(["GPU", "flex, a second", "active, a second"], rows)


def usd(price: float | None) -> str:
    return "" if price is None else f"${price:.5f}"


def second_of_video() -> str:
    """USD for a second of a video of a minute."""
    rows = [
        [
            resolution,
            preset,
            *(f"${usd_per_video_second(offer, resolution, preset):.3f}" for offer in OFFERS),
            f"${HOSTED_USD_PER_SECOND[resolution]:.2f}",
        ]
        for resolution in Resolution
        for preset in PresetName
        if resolution in PRESETS[preset].resolutions
    ]
    return _table(["", "preset", *(offer.gpu.name for offer in OFFERS), "hosted elsewhere"], rows)


def months() -> str:
    """USD a month of requests for a minute of video each, on the main GPU."""
    rows = []
    for resolution, preset in (
        (Resolution.P480, PresetName.FAST),
        (Resolution.P480, PresetName.BALANCED),
        (Resolution.P480, PresetName.TURBO),
        (Resolution.P720, PresetName.FAST),
    ):
        seconds = gpu_seconds(MAIN.gpu, resolution, preset)
        for requests in REQUESTS_A_DAY:
            hours = requests * seconds / 3600
            rows.append(
                [
                    resolution,
                    preset,
                    str(requests),
                    f"{hours:,.1f}",
                    f"{hours / 24:,.1f}",
                    f"${month_usd(seconds, requests):,.0f}",
                    f"${hosted_month_usd(resolution, requests):,.0f}",
                ]
            )
    head = ["", "preset", "requests a day", "GPU hours a day", "GPUs busy on average"]
    return _table([*head, "a month", "hosted elsewhere"], rows)


def idle() -> str:
    volume = VOLUME_GB * VOLUME_USD_PER_GB_MONTH
    start = MAIN.flex * (START_SECONDS + IDLE_SECONDS)
    kept = (MAIN.active or 0) * 86400 * DAYS_A_MONTH
    rows = [
        [f"volume of {VOLUME_GB} GB, a month", f"${volume:.2f}"],
        [
            f"a start of {START_SECONDS} s and {IDLE_SECONDS} s until it goes again, each time",
            f"${start:.3f}",
        ],
        ["one worker kept all month (active)", f"${kept:,.0f}"],
    ]
    return _table(["what", MAIN.gpu.name], rows)


def gpu_seconds(gpu: Gpu, resolution: Resolution, preset: PresetName) -> float:
    frames = SECONDS_OF_VIDEO * FRAMES_PER_SECOND
    return estimated_gpu_seconds(num_frames=frames, resolution=resolution, preset=preset, gpu=gpu)


def usd_per_video_second(offer: Offer, resolution: Resolution, preset: PresetName) -> float:
    return offer.flex * gpu_seconds(offer.gpu, resolution, preset) / SECONDS_OF_VIDEO


def month_usd(seconds: float, requests_a_day: int) -> float:
    """With a start and an idle end for each request, which is the most that scaling to zero adds."""
    each = MAIN.flex * (seconds + START_SECONDS + IDLE_SECONDS)
    return each * requests_a_day * DAYS_A_MONTH + VOLUME_GB * VOLUME_USD_PER_GB_MONTH


def hosted_month_usd(resolution: Resolution, requests_a_day: int) -> float:
    return HOSTED_USD_PER_SECOND[resolution] * SECONDS_OF_VIDEO * requests_a_day * DAYS_A_MONTH


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


TABLES: dict[str, Callable[[], str]] = {
    "prices": prices,
    "second": second_of_video,
    "months": months,
    "idle": idle,
}

if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
