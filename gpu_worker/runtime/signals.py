"""SIGTERM and SIGINT, heard at once."""

import signal
import socket
import threading
from collections.abc import Callable

INTERRUPTS = (signal.SIGTERM, signal.SIGINT)


def on_interrupt(react: Callable[[], None]) -> None:
    """Call `react` in a thread of its own at the first SIGTERM or SIGINT; from the main thread only.

    Python runs signal handlers between two byte codes of the main thread, so one long call into a
    library would delay them; the byte that a signal writes to the wake-up socket arrives at once.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def wait() -> None:
        with reader, writer:  # Open for as long as signals may be written.
            while signal.Signals(reader.recv(1)[0]) not in INTERRUPTS:
                pass
            react()

    for number in INTERRUPTS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=wait, name="interrupts", daemon=True).start()
