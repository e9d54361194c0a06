"""Opens and decodes what was uploaded with FFmpeg, as one of the accepted formats and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.subtitles.stream  # PyAV loads it with the first file: once in the server, not in each process.
from av.audio.stream import AudioStream
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.error import InvalidDataError
from av.video.stream import VideoStream

from jobs.intake.probes.base import IntakeError
from jobs.intake.probes.edit_lists import MAX_EDITS, has_too_many_edits

OPTIONS = {
    # Playlists (HLS, DASH, concat), image sequences and devices name other files: none is on the list.
    "format_whitelist": "wav,mp3,aac,flac,ogg,mov,matroska,caf,aiff,amr",
    "protocol_whitelist": "file",
}
MAX_DAMAGED, MAX_DAMAGED_SHARE = 2, 0.05
"""Packets that may be damaged, whichever is more: players skip a few as well, e.g. where a file was cut."""


def decoders_of(is_accepted: Callable[[str], bool]) -> str:
    """FFmpeg's decoders of the accepted codecs, as `open_container` takes them."""
    return ",".join(sorted(name for name in av.codecs_available if is_accepted(_codec_decoded_by(name))))


def _codec_decoded_by(name: str) -> str:
    """The codec's name, or nothing where `name` is only an encoder."""
    try:
        return av.Codec(name, "r").canonical_name
    except UnknownCodecError:
        return ""


def open_container(source: Path, decoders: str, unreadable: str) -> InputContainer:
    """Open `source` by its content; neither its name nor a declared type plays a part.

    Args:
        source: The file.
        decoders: The only ones that may run. While it opens a file, FFmpeg decodes the beginning of every
            track, the tracks that nobody wants as well.
        unreadable: The code of the error.

    Raises:
        IntakeError: With the code `unreadable`: it has too many edits.
        av.error.FFmpegError: It is no accepted container.
    """
    if has_too_many_edits(source):
        detail = f"The file's edit lists have more than {MAX_EDITS} entries: export it anew, without edits."
        raise IntakeError(unreadable, detail)
    options = OPTIONS | {"codec_whitelist": decoders}
    return av.open(str(source), "r", options=options, metadata_errors="replace")


def decode(container: InputContainer, track: AudioStream | VideoStream, unreadable: str) -> Iterator[Any]:
    """The frames of `track` (audio or video as it is), but for the few that are damaged.

    Raises:
        IntakeError: With the code `unreadable`, after the last frame, when too much was damaged.
    """
    sound = damaged = 0
    for packet in container.demux(track):
        try:
            frames = packet.decode()
        except InvalidDataError:
            damaged += 1
            continue
        sound += 1
        yield from frames
    if damaged > max(MAX_DAMAGED, MAX_DAMAGED_SHARE * (sound + damaged)):
        raise IntakeError(unreadable, "The file is damaged.")
