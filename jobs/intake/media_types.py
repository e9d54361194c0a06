"""The media types of files that jobs take, as clients and browsers name them."""

# Said by those who don't look at the file.
UNSPECIFIC = frozenset({"application/ogg", "application/octet-stream"})
IMAGES = frozenset({"avif", "bmp", "gif", "heic", "heif", "jpeg", "jpg", "png", "tiff", "webp", "x-ms-bmp"})
RECORDINGS = frozenset(
    {
        "3gpp",
        "aac",
        "aacp",
        "aiff",
        "amr",
        "amr-wb",
        "basic",
        "flac",
        "m4a",
        "mp3",
        "mp4",
        "mpeg",
        "mpeg3",
        "ogg",
        "opus",
        "vnd.wave",
        "wav",
        "wave",
        "webm",
        "x-aac",
        "x-aiff",
        "x-caf",
        "x-flac",
        "x-m4a",
        "x-mp3",
        "x-mpeg",
        "x-wav",
    }
)
VIDEOS = frozenset({"3gpp", "mp4", "mpeg4", "ogg", "quicktime", "webm", "x-m4v", "x-matroska"})
SUBTYPES = {"image": IMAGES, "audio": RECORDINGS, "video": VIDEOS}


def is_accepted(media_type: str) -> bool:
    """Whether some job might take such a file; what it really holds is looked at when one does."""
    essence = media_type.split(";")[0].strip().lower()
    kind, _, subtype = essence.partition("/")
    return essence in UNSPECIFIC or subtype in SUBTYPES.get(kind, ())
