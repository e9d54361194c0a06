"""The files of a job on their way into the store: checked by the intake, kept as normalised copies.

In a job's row each of its files is an item: `facts`, which its owner sees, and once the file is in the
store `file`, where it lies; for a recording also `samples`, its exact length. Of a file that is still to
be fetched only the address without its secrets is known.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage

from accounts.limits import Limits
from accounts.tenant import Tenant
from avatar_api.common.faults import Faults
from avatar_api.common.own_folder import own_folder
from avatar_api.common.problems import SOON, FieldError, Problem, invalid
from gpu_worker.contract import storage_keys
from gpu_worker.contract.framing import Frames
from gpu_worker.contract.spec import ReferenceKind, SpeakerBox, SpeakingOrder, StoredFile
from jobs.intake import blocked_pictures, framing, normalize, sources
from jobs.intake.normalize import IntakeError, IntakeLimits, NormalisedFile
from jobs.intake.probe_memory import ProbesBusyError, probe_memory
from jobs.intake.probes.base import MediaKind, bounds_of
from jobs.intake.requests import JobRequest, RequestedFile
from jobs.intake.sandbox import SandboxError
from jobs.intake.sources import InAsset, Remote, SourceError
from jobs.intake.speech.texts import Spoken

log = logging.getLogger(__name__)

Item = dict[str, Any]

STEMS = {"image": "reference", "video": "reference", "audio": "speech-0", "audio_2": "speech-1"}
EXTENSIONS = {"image": "png", "video": "mp4", "audio": "flac", "audio_2": "flac"}


@dataclass(frozen=True)
class CheckedFile:
    """What the intake has taken in of a file; the copy is on local disk.

    Attributes:
        name: What the copy is: `image`, `video`, `audio` or `audio_2`.
    """

    name: str
    requested: RequestedFile
    copy: NormalisedFile


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a request's files, which goes with them."""
    with TemporaryDirectory(dir=own_folder(), prefix="intake-") as folder:
        yield Path(folder)


def kind_of(name: str) -> MediaKind:
    return {"image": MediaKind.IMAGE, "video": MediaKind.VIDEO}.get(name, MediaKind.SPEECH)


def check(job_request: JobRequest, tenant: Tenant, scratch: Path) -> list[CheckedFile]:
    """Probe and normalise into `scratch` each file that is there.

    Raises:
        Problem: `payload_too_large`, or `validation_error` naming each field at fault, or
            `service_unavailable` when nothing can be probed.
    """
    checked, faults = [], Faults()
    for file in job_request.files:
        if not isinstance(file.source, Remote | Spoken):
            with faults.gathered(), naming(file):
                path = sources.local_copy(file.source, tenant, scratch)
                owner = owner_of(tenant.organization.pk, livemode=tenant.livemode)
                checked.extend(probed(file, path, tenant.limits, scratch, owner))
    faults.refuse()
    return checked


def owner_of(organization_id: str, *, livemode: bool) -> str:
    """For whom a probe counts."""
    return f"{organization_id}:{livemode}"


def probed(file: RequestedFile, path: Path, limits: Limits, scratch: Path, owner: str) -> list[CheckedFile]:
    """Normalise a file into `scratch`: one copy for each of its parts.

    Raises:
        IntakeError: The file's fault.
        SandboxError: Nothing can be probed at the moment.
    """
    kind = kind_of(file.name)
    checked = []
    for name, channel in file.parts.items():
        intake_limits = IntakeLimits(limits.max_speech_seconds, channel)
        with probe_memory.taken(owner, bounds_of(kind, intake_limits).memory_bytes):
            copy = normalize.normalise(kind, path, intake_limits, scratch)
        blocked_pictures.refuse(copy.picture_hash)
        checked.append(CheckedFile(name, file, copy))
    return checked


@contextmanager
def naming(file: RequestedFile) -> Iterator[None]:
    """Turns the faults of a file into the problem of the field by which it came, and ours into a 503."""
    try:
        yield
    except (IntakeError, SourceError) as error:
        raise invalid(FieldError(file.field, error.code, error.detail)) from error
    except ProbesBusyError as error:
        log.warning("an upload was not checked in time: %s", error)
        raise Problem("service_unavailable", headers=SOON) from error
    except SandboxError as error:
        log.exception("uploads can't be checked at the moment")
        raise Problem("service_unavailable", headers=SOON) from error


def store(checked: list[CheckedFile], prefix: str) -> dict[str, Item]:
    """Save the normalised copies below `prefix`.

    Returns:
        Their items by name.
    """
    return {file.name: item_of(file) | {"file": _store_file(file, prefix)} for file in checked}


def _store_file(file: CheckedFile, prefix: str) -> Item:
    name, path = file.name, file.copy.path
    key = storage_keys.input_file(prefix, f"{STEMS[name]}.{EXTENSIONS[name]}")
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        default_storage.save(key, File(content))
    return asdict(StoredFile(key, digest, path.stat().st_size))


def item_of(file: CheckedFile) -> Item:
    """What is known of a file once it was probed."""
    item: Item = {"facts": origin_of(file.requested) | facts_of(file.copy)}
    if file.copy.num_samples is not None:
        item["samples"] = [file.copy.num_samples, file.copy.sampling_rate]
    if file.name in ("image", "video"):
        item["faces"] = [asdict(face) for face in file.copy.faces]
    if file.copy.picture_hash is not None:
        item["picture_hash"] = file.copy.picture_hash
    if file.copy.separate_speakers:
        item["separate_speakers"] = True
    return item


def item_to_fetch(file: RequestedFile) -> Item:
    return {"facts": origin_of(file)}


def pending_of(files: list[RequestedFile]) -> dict[str, str]:
    """What is needed to make these files later, by field: an address, or what is to be said."""
    return urls_of(files) | {
        file.field: file.source.to_json() for file in files if isinstance(file.source, Spoken)
    }


def urls_of(files: list[RequestedFile]) -> dict[str, str]:
    """The addresses among the sources of these files, by the fields of what each stands for.

    Of a recording that is split both have it: so the release before this one, which knows no split, gives
    each speaker the whole recording instead of failing over a second one that it lacks.
    """
    return {
        f"{name}_url": file.source.url
        for file in files
        if isinstance(file.source, Remote)
        for name in file.parts
    }


def origin_of(file: RequestedFile) -> dict[str, Any]:
    """Where the file came from, as far as a client may see it again."""
    match file.source:
        case Remote():
            return {"url": file.source.shown}
        case InAsset(asset_id):
            return {"asset": asset_id}
        case Spoken():
            return {"voices": file.source.voices, "characters": file.source.characters}
    return {}


def facts_of(file: NormalisedFile) -> dict[str, Any]:
    """What the intake found out about the file as it was sent."""
    facts = {
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "width": file.width,
        "height": file.height,
        "duration_seconds": file.duration_seconds,
        "channel": file.channel,
    }
    return {name: value for name, value in facts.items() if value is not None}


def arrange(items: dict[str, Item], kind: ReferenceKind) -> dict[str, Any]:
    """Items by name as the `inputs` of a job's row."""
    return {
        "reference": items[kind.value],
        "speech": [items[name] for name in ("audio", "audio_2") if name in items],
    }


def framed(inputs: dict[str, Any], speaker_boxes: Sequence[SpeakerBox], shapes: Frames) -> dict[str, Any]:
    """The reference of a job once it was probed: the crop around the speakers in place of the faces."""
    reference: Item = inputs["reference"]
    crop = framing.default_crop(reference, speaker_boxes, len(inputs["speech"]), shapes)
    if crop is None:
        return reference
    kept = {name: value for name, value in reference.items() if name != "faces"}
    return kept | {"crop": {name: round(value, 4) for name, value in asdict(crop).items()}}


def names_of(inputs: dict[str, Any], kind: ReferenceKind) -> dict[str, Item]:
    """The `inputs` of a job's row as items by name."""
    return {
        kind.value: inputs["reference"],
        **dict(zip(("audio", "audio_2"), inputs["speech"], strict=False)),
    }


def duration_of(inputs: dict[str, Any], order: SpeakingOrder, limits: Limits) -> Fraction | None:
    """Exact length of the video in seconds, or None while a speech is still to be fetched.

    Raises:
        IntakeError: `audio_too_long` when two speeches in turn pass the plan's limit.
    """
    if not all("samples" in speech for speech in inputs["speech"]):
        return None
    durations = [Fraction(*speech["samples"]) for speech in inputs["speech"]]
    total = max(durations) if order is SpeakingOrder.TOGETHER else sum(durations, Fraction())
    if total > limits.max_speech_seconds:
        detail = f"Both recordings together may last at most {limits.max_speech_seconds} s."
        raise IntakeError("audio_too_long", detail)
    return total


def copy(stored: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Copy the stored inputs of another job below `prefix`.

    Returns:
        The `inputs` of the new job's row.

    Raises:
        Problem: `expired` when the files are gone.
    """
    return {
        "reference": _copy_file(stored["reference"], prefix),
        "speech": [_copy_file(item, prefix) for item in stored["speech"]],
    }


def _copy_file(item: Item, prefix: str) -> Item:
    if "file" not in item:
        return item  # Still to be fetched.
    old = item["file"]["key"]
    key = storage_keys.input_file(prefix, old.rsplit("/", 1)[1])
    try:
        with default_storage.open(old) as content:
            default_storage.save(key, content)
    except FileNotFoundError as error:
        raise Problem("expired", "The job's inputs have been deleted.") from error
    return item | {"file": item["file"] | {"key": key}}
