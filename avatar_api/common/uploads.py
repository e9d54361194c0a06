"""Uploads go to disk while they arrive, and stop at the deployment's size limit."""

from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler

from avatar_api.common.own_folder import own_folder
from avatar_api.common.problems import Problem


class PassingFile(TemporaryUploadedFile):
    """An upload in the folder of this process."""

    def __init__(self, name: str | None, *facts: Any) -> None:
        file = NamedTemporaryFile(dir=own_folder(), prefix="upload-")  # noqa: SIM115  (closed as the upload)
        # Past Django's own class, which puts the file where all processes keep theirs.
        UploadedFile.__init__(self, file, name, *facts)


class CappedTemporaryFileUploadHandler(TemporaryFileUploadHandler):
    """Raises `payload_too_large` once all files of a request together pass MAX_UPLOAD_BYTES."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.received = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)
        self.file = PassingFile(self.file_name, self.content_type, 0, self.charset, self.content_type_extra)

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
