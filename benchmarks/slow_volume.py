"""A network volume imitated: a read-only FUSE file system with one file, each of whose reads takes 5 ms.

Spoken is the kernel's own protocol (`linux/fuse.h`), as far as one file needs it, from `SERVERS` threads, so
that requests that arrive together are answered together. Needs `/dev/fuse` and the right to mount.
"""

import ctypes
import errno
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DELAY_SECONDS = 0.005
SERVERS = 64
MAX_READ = 2**20
_FILE_NODE = 2
_IN_HEADER = struct.Struct("<IIQQIIIHH")
_OUT_HEADER = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE, _FLUSH, _INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
_OPENDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 27, 29, 36, 42
_ASYNC_READ, _MAX_PAGES = 1, 1 << 22
_UNANSWERED = (_FORGET, _INTERRUPT, _BATCH_FORGET)
_DETACH = 2


def is_available() -> bool:
    """Whether this process may mount."""
    return os.access("/dev/fuse", os.R_OK | os.W_OK) and os.geteuid() == 0


@contextmanager
def mounted(file: Path) -> Iterator[Path]:
    """`file` on a slow volume, served by a process of its own; its path there."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.slow_volume", str(file), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            try:
                yield Path(folder) / file.name
            finally:
                _libc().umount2(folder.encode(), _DETACH)
                server.kill()


def serve(file: Path, folder: Path) -> None:
    """Mount, and answer until unmounted."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _libc().mount(b"slow", str(folder).encode(), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    volume = _Volume(device, file)
    threads = [threading.Thread(target=volume.serve) for _ in range(SERVERS)]
    for thread in threads:
        thread.start()
    print("mounted", flush=True)
    for thread in threads:
        thread.join()


class _Volume:
    def __init__(self, device: int, file: Path) -> None:
        self._device = device
        self._name = file.name.encode()
        self._content = os.open(file, os.O_RDONLY)
        self._size = file.stat().st_size

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, MAX_READ + 4096)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return  # Unmounted.
            _, code, unique, node, *_ = _IN_HEADER.unpack_from(request)
            if code in _UNANSWERED:
                continue
            status, answer = self._answer(code, node, request[_IN_HEADER.size :])
            header = _OUT_HEADER.pack(_OUT_HEADER.size + len(answer), status, unique)
            os.writev(self._device, [header, answer])

    def _answer(self, code: int, node: int, body: bytes) -> tuple[int, bytes]:
        if code == _INIT:
            _, _, ahead, _ = struct.unpack_from("<IIII", body)
            flags = _ASYNC_READ | _MAX_PAGES
            pages = MAX_READ // 4096
            limits = struct.pack(
                "<IIIIHHIIHHI28x", 7, 31, ahead, flags, SERVERS, SERVERS, 4096, 1, pages, 0, 0
            )
            return 0, limits
        if code == _LOOKUP:
            if body.rstrip(b"\0") != self._name:
                return -errno.ENOENT, b""
            return 0, struct.pack("<QQQQII", _FILE_NODE, 0, 3600, 3600, 0, 0) + self._attributes(_FILE_NODE)
        if code == _GETATTR:
            return 0, struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
        if code in (_OPEN, _OPENDIR):
            return 0, struct.pack("<QII", 0, 0, 0)
        if code == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            time.sleep(DELAY_SECONDS)
            return 0, os.pread(self._content, size, offset)
        if code == _STATFS:
            return 0, struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        if code in (_FLUSH, _RELEASE, _RELEASEDIR):
            return 0, b""
        return -errno.ENOSYS, b""

    def _attributes(self, node: int) -> bytes:
        size, mode = (self._size, 0o100444) if node == _FILE_NODE else (0, 0o40555)
        return _ATTRIBUTES.pack(node, size, -(-size // 512), 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
