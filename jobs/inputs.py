"""The files of a request on their way into the store: checked by the intake, kept as normalised copies."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import TemporaryUploadedFile

from accounts.limits import Limits
from avatar_api.common.problems import FieldError, Problem, invalid
from gpu_worker.contract.spec import ReferenceKind, StoredFile
from jobs import intake
from jobs.intake import IntakeError, IntakeLimits, NormalisedFile
from jobs.requests import JobRequest

SPEECH_FIELDS = ("audio", "audio_2")
EXTENSIONS = {ReferenceKind.IMAGE: "png", ReferenceKind.VIDEO: "mp4"}


@dataclass(frozen=True)
class Inputs:
    """The checked files of one request, still on local disk."""

    reference: NormalisedFile
    reference_kind: ReferenceKind
    speech: tuple[NormalisedFile, ...]


def check(asked: JobRequest, limits: Limits, scratch: Path) -> Inputs:
    """Probe and normalise each file into `scratch`.

    Raises:
        Problem: `payload_too_large`, or `validation_error` naming the field and its fault.
    """
    intake_limits = IntakeLimits(max_speech_seconds=limits.max_speech_seconds)
    probe = intake.probe_image if asked.reference_kind is ReferenceKind.IMAGE else intake.probe_video
    fields = [(asked.reference_kind.value, asked.reference, probe)]
    speech_fields = zip(SPEECH_FIELDS, asked.speech, strict=False)
    fields += [(name, upload, intake.probe_speech) for name, upload in speech_fields]
    checked = [_check_file(*field, limits, intake_limits, scratch) for field in fields]
    return Inputs(checked[0], asked.reference_kind, tuple(checked[1:]))


Probe = Callable[[Path, IntakeLimits, Path], NormalisedFile]


def _check_file(
    field: str,
    upload: TemporaryUploadedFile,
    probe: Probe,
    limits: Limits,
    intake_limits: IntakeLimits,
    scratch: Path,
) -> NormalisedFile:
    if (upload.size or 0) > limits.max_upload_bytes:
        raise Problem("payload_too_large", f"{field}: the plan's limit is {limits.max_upload_bytes} bytes.")
    try:
        return probe(Path(upload.temporary_file_path()), intake_limits, scratch)
    except IntakeError as error:
        raise invalid(FieldError(field, error.code, error.detail)) from error


def store(checked: Inputs, prefix: str) -> dict[str, Any]:
    """Save the normalised copies below `prefix`.

    Returns:
        The `inputs` of a job's row: for each file where it lies, and the facts that a client may see.
    """
    extension = EXTENSIONS[checked.reference_kind]
    return {
        "reference": _store_file(checked.reference, f"{prefix}reference.{extension}"),
        "speech": [
            _store_file(speech, f"{prefix}speech-{index}.flac") for index, speech in enumerate(checked.speech)
        ],
    }


def _store_file(file: NormalisedFile, key: str) -> dict[str, Any]:
    with file.path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        default_storage.save(key, File(content))
    return {
        "file": asdict(StoredFile(key, digest, file.path.stat().st_size)),
        "facts": facts_of(file),
    }


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


def _copy_file(item: dict[str, Any], prefix: str) -> dict[str, Any]:
    old = item["file"]["key"]
    key = f"{prefix}{old.rsplit('/', 1)[1]}"
    try:
        with default_storage.open(old) as content:
            default_storage.save(key, content)
    except FileNotFoundError as error:
        raise Problem("expired", "The job's inputs are gone.") from error
    return item | {"file": item["file"] | {"key": key}}


def facts_of(file: NormalisedFile) -> dict[str, Any]:
    """What the intake found out about the file as it was sent."""
    facts = {
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "width": file.width,
        "height": file.height,
        "duration_seconds": file.duration_seconds,
    }
    return {name: value for name, value in facts.items() if value is not None}


def duration_of(speech: NormalisedFile) -> Fraction:
    """Exact length of a speech in seconds."""
    return Fraction(speech.num_samples, speech.sampling_rate)
