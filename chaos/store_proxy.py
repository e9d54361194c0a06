"""The way to the object store, which can be closed or made slow."""

import asyncio
import contextlib
import threading
from enum import StrEnum

PIECE = 64 * 1024
DELAY_SECONDS = 0.25


class State(StrEnum):
    OPEN = "open"
    SLOW = "slow"
    CLOSED = "closed"


class StoreProxy:
    """Forwards TCP connections to the store; what is under way is cut off when the way is closed."""

    def __init__(self, port: int, store_port: int) -> None:
        self._port = port
        self._store_port = store_port
        self._state = State.OPEN
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="store proxy", daemon=True).start()
        self._listening.wait()

    def be(self, state: State) -> None:
        self._state = state
        if state is State.CLOSED:
            self._loop.call_soon_threadsafe(self._cut)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self._port))
        self._listening.set()
        self._loop.run_forever()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._state is State.CLOSED:
            writer.transport.abort()
            return
        store_reader, store_writer = await asyncio.open_connection("127.0.0.1", self._store_port)
        mine = {writer, store_writer}
        self._writers |= mine
        try:
            await asyncio.gather(self._pump(reader, store_writer), self._pump(store_reader, writer))
        finally:
            self._writers -= mine

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE):
                if self._state is State.SLOW:
                    await asyncio.sleep(DELAY_SECONDS)
                target.write(piece)
                await target.drain()
        with contextlib.suppress(OSError):
            target.close()
