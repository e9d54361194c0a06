"""Uploads go to disk while they arrive, and stop at the deployment's size limit."""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import TemporaryFileUploadHandler

from avatar_api.common.problems import Problem


class CappedTemporaryFileUploadHandler(TemporaryFileUploadHandler):
    """Raises `payload_too_large` once all files of a request together pass MAX_UPLOAD_BYTES."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.received += len(raw_data)
        try:
            if self.received > settings.MAX_UPLOAD_BYTES:
                raise Problem("payload_too_large", "The upload is larger than this deployment accepts.")
            super().receive_data_chunk(raw_data, start)
        except (Problem, OSError):
            with suppress(OSError):  # On a full disk closing fails as well, but removes the file.
                self.file.close()
            raise
