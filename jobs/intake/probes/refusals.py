"""Names what was sent in place of a picture, recording or video, and what to do about it."""

import re
from pathlib import Path

from jobs.intake.probes.base import IntakeError, MediaKind, unreadable

HEAD_BYTES = 4096
CODES = {
    MediaKind.IMAGE: "image_unreadable",
    MediaKind.SPEECH: "audio_unreadable",
    MediaKind.VIDEO: "video_unreadable",
}
PICTURE_INTO = "export it as JPEG or PNG"
SOUND_INTO = "convert it to WAV, MP3 or M4A"
VIDEO_INTO = "convert it to MP4 with H.264"

# What a file begins with, what it then is, and what to do about it.
SIGNATURES = (
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg", "an SVG drawing", PICTURE_INTO),
    (rb"\s*<(!doctype )?html", "a web page", "send the address of the file itself"),
    (rb"version https://git-lfs", "a Git LFS pointer", "send the file that it stands for"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive", "send the file in it"),
    (rb"%PDF", "a PDF document", PICTURE_INTO),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript drawing", PICTURE_INTO),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", PICTURE_INTO),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "a JPEG 2000 picture", PICTURE_INTO),
    (rb"8BPS", "a Photoshop document", PICTURE_INTO),
    (rb"\0\0\x01\0", "an icon", PICTURE_INTO),
    (rb"....ftypcrx |FUJIFILMCCD-RAW|II\*\0....CR|IIRO|IIU\0", "a camera's raw picture", PICTURE_INTO),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file", f"{SOUND_INTO}, a video to MP4"),
    (rb"RIFF....AVI ", "an AVI video", VIDEO_INTO),
    (rb"FLV\x01", "a Flash video", VIDEO_INTO),
    (rb"\0\0\x01[\xb3\xba]", "an MPEG video", VIDEO_INTO),
    (rb"MThd", "a MIDI file, which holds notes and no sound", "record it"),
    (rb"\x02?#!SILK", "a SILK voice message", SOUND_INTO),
    (rb"wvpk", "a WavPack recording", SOUND_INTO),
    (rb"MAC ", "a Monkey's Audio recording", SOUND_INTO),
    (rb"\.RMF|\.ra\xfd", "a RealMedia file", f"{SOUND_INTO}, a video to MP4"),
    (rb"DSD |FRM8", "a DSD recording", SOUND_INTO),
)
# What is read, but as another kind.
READABLE = (
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP", "a picture", MediaKind.IMAGE),
    (rb"....ftyp(heic|heix|mif1|avif)", "a picture", MediaKind.IMAGE),
    (rb"....ftypM4A |RIFF....WAVE|ID3|fLaC|OggS|caff|FORM....AIF|#!AMR", "a recording", MediaKind.SPEECH),
    (rb"....ftyp|\x1aE\xdf\xa3", "a video", MediaKind.VIDEO),
)
FIELDS = {MediaKind.IMAGE: "image", MediaKind.SPEECH: "audio", MediaKind.VIDEO: "video"}


def named_refusal(kind: MediaKind, source: Path) -> IntakeError:
    """The error of a file that can't be decoded as `kind`: by its first bytes, what it is and what to do."""
    with source.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return IntakeError(CODES[kind], "The file is empty.")
    for signature, name, advice in SIGNATURES:
        if _begins_with(signature, head):
            return IntakeError(CODES[kind], f"The file is {name}, which is not supported: {advice}.")
    for signature, name, other in READABLE:
        if _begins_with(signature, head) and other is not kind:
            return IntakeError(CODES[kind], f"The file is {name}: send it as {FIELDS[other]}.")
    return unreadable(kind)


def _begins_with(signature: bytes, head: bytes) -> bool:
    return re.match(signature, head, re.IGNORECASE | re.DOTALL) is not None
