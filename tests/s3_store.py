"""An object store for tests: an S3 server that checks signatures, as a process of its own."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

SECRET = "the-secret-of-the-store"


class S3Server:
    """An S3 server that checks signatures, and can be taken away."""

    def __init__(self, folder: Path) -> None:
        (folder / "bucket").mkdir(parents=True)
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.environment = {
            "R2_BUCKET": "bucket",
            "R2_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "R2_ACCESS_KEY_ID": "worker",
            "R2_SECRET_ACCESS_KEY": SECRET,
        }

    def __enter__(self) -> "S3Server":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gpu_worker.s3_server", str(self.port)],
            env={
                "PATH": os.environ["PATH"],
                "NANIO_ACCESS_KEY": "worker",
                "NANIO_SECRET_KEY": SECRET,
                "NANIO_DATA_DIR": str(self._folder),
                "NANIO_REGION": "auto",
            },
            cwd=Path(__file__).parents[1],
        )
        while not self._answers():
            assert self._process.poll() is None, "the store ended"
            time.sleep(0.01)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0
