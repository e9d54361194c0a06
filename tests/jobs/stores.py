"""What is in the store, whichever it is."""

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from jobs.storage import objects


def put(key: str, content: bytes = b"content") -> str:
    default_storage.save(key, ContentFile(content))
    return key


def keys(prefix: str = "") -> set[str]:
    """Of all that the store holds."""
    return {item.key for page in objects.pages(prefix) for item in page}
