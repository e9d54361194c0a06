"""Programs that use the API, and the small files that they send."""

import io
import wave
from functools import cache
from typing import Any

import numpy as np
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from PIL import Image
from rest_framework.test import APIClient


def keyed(key: str) -> APIClient:
    """A program that sends `key` with each request."""
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


@cache
def png(width: int, height: int) -> bytes:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    picture.resize((width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@cache
def wav(seconds: float, rate: int = 16_000) -> bytes:
    samples = 0.3 * np.sin(np.arange(int(seconds * rate)) * 440 * 2 * np.pi / rate)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def form(image: bytes | None, audio: bytes | None, **fields: Any) -> dict[str, Any]:
    """A multipart form; None leaves the file out."""
    files = {"image": ("portrait.png", image), "audio": ("speech.wav", audio)}
    sent = {
        name: SimpleUploadedFile(filename, content)
        for name, (filename, content) in files.items()
        if content is not None
    }
    return {**sent, **fields}


def multipart(image: bytes, audio: bytes) -> tuple[bytes, str]:
    """The bytes of a multipart form and its content type."""
    return encode_multipart(BOUNDARY, form(image, audio)), MULTIPART_CONTENT
