"""Makes the store: what is missing is downloaded, converted and removed again, one file after the other."""

import errno
import logging
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from gpu_worker.model_store import manifest
from gpu_worker.model_store.download import download
from gpu_worker.model_store.errors import ModelStoreError, NoSpaceError, NotReadyError
from gpu_worker.model_store.hub import Hub
from gpu_worker.model_store.journal import Journal
from gpu_worker.model_store.plan import Plan, make_plan
from gpu_worker.model_store.sources import FLASHTALK, LORAS, Selection, Speakers

log = logging.getLogger(__name__)

DOWNLOADS = ".downloads"
SPEAKERS: tuple[Speakers, ...] = get_args(Speakers)


def plan_store(selection: Selection, folder: Path, hub: Hub) -> Plan:
    """What preparing would do, by the commits that an earlier run settled on."""
    return make_plan(selection, hub, Journal.open(folder).revisions)


def download_all(plan: Plan, folder: Path, hub: Hub) -> None:
    """Only download, and keep it: for a volume that holds both.

    Raises:
        HubError: The hub refuses or stays away.
        NoSpaceError: The volume is too small.
    """
    missing = sum(file.size - _present(folder, file.local) for file in plan.files)
    _require_space(folder, missing)
    _keep_to_revisions(plan, folder)
    for number, file in enumerate(plan.files, start=1):
        log.info("[%d/%d] %s (%s)", number, len(plan.files), file.local, _gigabytes(file.size))
        download(file, hub, folder / DOWNLOADS)


def prepare(plan: Plan, folder: Path, hub: Hub) -> None:
    """Bring the store to what the plan says, from wherever an earlier run left it.

    Raises:
        HubError: The hub refuses or stays away.
        NoSpaceError: The volume is too small.
        ModelStoreError: A file isn't what it should be.
    """
    present = sum(_present(folder, file.local) for file in plan.files)
    _require_space(folder, plan.peak_bytes(Journal.open(folder).used_up) - present)
    (folder / manifest.READY).unlink(missing_ok=True)
    journal = _keep_to_revisions(plan, folder)
    for file in plan.files:
        if not file.holds_weights:
            download(file, hub, folder / DOWNLOADS)
    _convert(plan, folder, hub, journal)
    log.info("hashing what was prepared")
    selection = plan.selection
    described = manifest.describe(
        folder,
        precision=selection.precision,
        speakers=selection.speakers,
        loras=selection.loras,
        revisions=plan.revisions,
        turbo=selection.turbo,
        licences={FLASHTALK.repo: journal.revisions[FLASHTALK.repo]} if selection.turbo else {},
    )
    manifest.write(described, folder)
    clear_downloads(folder)
    log.info("ready: %s in %s", _gigabytes(described.total_bytes), folder)


def covers(folder: Path, selection: Selection) -> bool:
    """Whether the store is ready and holds all of the selection."""
    try:
        found = manifest.read(folder)
    except NotReadyError:
        return False
    return (
        found.precision == selection.precision
        and set(selection.speakers) <= set(found.speakers)
        and set(selection.loras) <= set(found.loras)
        and selection.turbo <= found.turbo
    )


def with_what_is_there(selection: Selection, folder: Path) -> Selection:
    """The selection and what earlier runs finished of other ones: the manifest is of the whole store."""
    from InfiniteTalk.checkpoints.conversion import (
        AUDIO_FOLDER,
        BASE_FOLDER,
        FLASHTALK_FOLDER,
        LORA_FOLDER,
        WEIGHTS_FILE,
        is_transformer_whole,
    )

    base = is_transformer_whole(folder / BASE_FOLDER)
    audio, loras = folder / AUDIO_FOLDER, folder / LORA_FOLDER
    speakers = {name for name in SPEAKERS if base and (audio / name / WEIGHTS_FILE).exists()}
    adapters = {name for name in LORAS if base and (loras / f"{name}.safetensors").exists()}
    return replace(
        selection,
        speakers=tuple(name for name in SPEAKERS if name in {*selection.speakers, *speakers}),
        loras=tuple(name for name in LORAS if name in {*selection.loras, *adapters}),
        turbo=selection.turbo or is_transformer_whole(folder / FLASHTALK_FOLDER),
    )


def clear_downloads(folder: Path) -> None:
    shutil.rmtree(folder / DOWNLOADS, ignore_errors=True)


def _convert(plan: Plan, folder: Path, hub: Hub, journal: Journal) -> None:
    # Imported here because it takes seconds, and what only downloads or verifies doesn't need it.
    from InfiniteTalk.checkpoints.completeness import IncompleteModelError
    from InfiniteTalk.checkpoints.conversion import PrecisionMismatchError, plan_conversion
    from InfiniteTalk.checkpoints.lora_files import LoraError
    from InfiniteTalk.checkpoints.original_checkpoint import UnknownKeysError
    from InfiniteTalk.checkpoints.precision import Precision
    from InfiniteTalk.checkpoints.weight_files import WeightFileError

    downloads = folder / DOWNLOADS
    weights = {downloads / file.local: file for file in plan.files if file.holds_weights}
    try:
        steps = plan_conversion(_original(plan, downloads), folder, Precision(plan.selection.precision))
        for number, step in enumerate(steps, start=1):
            sources = [weights[path] for path in step.sources if path in weights]
            if not step.is_done:
                for source in sources:
                    download(source, hub, downloads)
                log.info("[%d/%d] preparing %s", number, len(steps), step.title)
                step.run()
            journal.made_from[str(step.output.relative_to(folder))] = [str(file.local) for file in sources]
            journal.write()
            for source in sources:
                (downloads / source.local).unlink(missing_ok=True)
    except (
        PrecisionMismatchError,
        IncompleteModelError,
        UnknownKeysError,
        WeightFileError,
        LoraError,
    ) as error:
        raise ModelStoreError(str(error)) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoSpaceError(f"{folder} is full: make room there and run this again") from error
        raise


def _original(plan: Plan, downloads: Path) -> Any:
    from InfiniteTalk.checkpoints.original_checkpoint import OriginalCheckpoint

    return OriginalCheckpoint(
        ckpt_dir=downloads / "Wan2.1-I2V-14B-480P",
        wav2vec_dir=downloads / "chinese-wav2vec2-base",
        infinitetalk={
            speakers: downloads / "InfiniteTalk" / speakers / "infinitetalk.safetensors"
            for speakers in plan.selection.speakers
        },
        loras={name: downloads / LORAS[name].folder / LORAS[name].files[0] for name in plan.selection.loras},
        flashtalk=downloads / FLASHTALK.folder if plan.selection.turbo else None,
    )


def forget(folder: Path, damaged: Iterable[str]) -> None:
    """Remove what must be made again so that the damaged files are."""
    (folder / manifest.READY).unlink()
    for output in Journal.open(folder).outputs_behind(damaged):
        path = folder / output
        log.info("making %s again", output)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _keep_to_revisions(plan: Plan, folder: Path) -> Journal:
    journal = Journal.open(folder)
    journal.revisions |= plan.revisions
    journal.write()
    return journal


def _present(folder: Path, local: Path) -> int:
    """Bytes of a download that are on disk already."""
    target = folder / DOWNLOADS / local
    found = (path for path in (target, target.with_name(f"{target.name}.part")) if path.exists())
    return max((path.stat().st_size for path in found), default=0)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise NoSpaceError(
            f"{folder} has {_gigabytes(free)} free, {_gigabytes(needed)} are needed at the peak: "
            "use a larger volume, --precision fp8, fewer --models or fewer --speakers"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
