"""Finished windows on their way to the store: encoded and uploaded while the engine renders the next."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from gpu_worker.common import logs
from gpu_worker.contract import storage_keys
from gpu_worker.contract.windows import Window
from gpu_worker.engines.base import RenderedWindow
from gpu_worker.media import video_files
from gpu_worker.storage.retry import Disk
from gpu_worker.storage.store import Store


class Publisher:
    """Publishes the windows of one attempt, one after the other, in a thread of its own.

    The sound is encoded first, while the engine begins. At most one window is on its way while the next is
    rendered, so memory holds the frames of two.

    Args:
        write_speech: Writes the encoded sound of the whole video.
        look: Shown each window's frames.
        published: Called after each window, once its files are safe.
    """

    def __init__(
        self,
        store: Store,
        disk: Disk,
        prefix: str,
        folder: Path,
        write_speech: Callable[[Path], None],
        look: Callable[[Window, npt.NDArray[np.uint8]], None],
        published: Callable[[Window], None],
    ) -> None:
        self._store = store
        self._disk = disk
        self._prefix = prefix
        self._folder = folder
        self._look = look
        self._published = published
        # Lines that the thread writes tell the job's ids, too.
        self._thread = ThreadPoolExecutor(1, "publisher", partial(logs.bind, **logs.current()))
        self._on_its_way = self._thread.submit(
            disk.write, "encode the sound", partial(write_speech, self.speech_file)
        )
        self._init_saved = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._thread.shutdown()

    def put(self, window: Window, rendered: RenderedWindow) -> None:
        """Publish a window, after the one before it.

        Raises:
            StorageError: The one before it could not be saved.
        """
        self.wait()
        self._on_its_way = self._thread.submit(self._publish, window, rendered)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the window on its way, or for the sound before the first one.

        Raises:
            StorageError: It could not be saved.
            NoRoomError: There was no room for it on the disk.
            RenderStoppedError: The render was asked to stop while the store was away, or before the sound
                was encoded.
            TimeoutError: It is still on its way.
        """
        self._on_its_way.result(timeout)

    def segment_file(self, window: int) -> Path:
        """Where the encoded segment of a window lies on this machine."""
        return self._folder / f"segment-{window:05d}.m4s"

    @property
    def speech_file(self) -> Path:
        """Where the encoded sound of the whole video lies."""
        return self._folder / "speech.m4a"

    @property
    def init_file(self) -> Path:
        return self._folder / "init.mp4"

    def _publish(self, window: Window, rendered: RenderedWindow) -> None:
        self._look(window, rendered.frames)
        segment = self.segment_file(window.index)
        encode = partial(
            video_files.encode_segment,
            rendered.frames,
            window,
            speech=self.speech_file,
            init=self.init_file,
            segment=segment,
        )
        self._disk.write("encode a window", encode)
        if not self._init_saved:
            self._store.save(storage_keys.init_section(self._prefix), self.init_file)
            self._init_saved = True
        self._store.save(storage_keys.segment(self._prefix, window.index), segment)
        if rendered.state is not None:
            self._store.save(storage_keys.window_state(self._prefix, window.index), rendered.state)
        self._published(window)
