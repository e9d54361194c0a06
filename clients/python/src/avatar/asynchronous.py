"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from avatar import protocol
from avatar.connection import Settings, arguments, described, pieces
from avatar.errors import ConnectionFailedError, WaitTimeoutError
from avatar.inputs import Media, MediaInput
from avatar.models import Estimate, Failure, Output, VideoState
from avatar.protocol import Answer, EventReader, Operation, Pause, Send, Watch, Watched
from avatar.synchronous import OnProgress

Result = TypeVar("Result")


class AsyncAvatar:
    """`Avatar` for asyncio: the same names and arguments, awaited."""

    def __init__(
        self,
        api_key: str | None = None,
        url: str | None = None,
        *,
        timeout: float = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._settings = Settings.of(api_key, url, timeout)
        self._http = http or httpx.AsyncClient(timeout=timeout)
        self.videos = AsyncVideos(self)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncAvatar:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def me(self) -> dict[str, Any]:
        """The organization, the key, and what the plan allows."""
        return await self.run(protocol.read_json("/me"))

    async def usage(self) -> dict[str, Any]:
        """What was used this month."""
        return await self.run(protocol.read_json("/usage"))

    async def voices(self) -> list[dict[str, Any]]:
        """What can say a text, the default first; empty where nothing can."""
        return list((await self.run(protocol.read_json("/voices")))["data"])

    async def run(self, operation: Operation[Result]) -> Result:
        """Carry out an operation."""
        try:
            command = next(operation)
            while True:
                try:
                    result = await self._carry_out(command)
                except ConnectionFailedError as error:
                    command = operation.throw(error)
                else:
                    command = operation.send(result)
        except StopIteration as stop:
            found: Result = stop.value
            return found

    async def _carry_out(self, command: protocol.Command) -> Any:
        if isinstance(command, Pause):
            return await asyncio.sleep(command.seconds)
        if isinstance(command, Watch):
            return await self._watch(command)
        return await self._send(command)

    async def _send(self, send: Send) -> Answer:
        given = arguments(self._settings, send)
        if send.stored is not None:
            given["headers"]["Content-Length"] = str(send.stored.size)
            given["content"] = _pieces(send.stored)
        try:
            async with self._http.stream(**given, follow_redirects=True) as response:
                body = b""
                if send.save_to is not None and response.is_success:
                    with send.save_to.open("wb") as file:
                        async for piece in response.aiter_bytes():
                            await asyncio.to_thread(file.write, piece)
                else:
                    body = await response.aread()
                return Answer(response.status_code, response.headers, body)
        except httpx.HTTPError as error:
            raise ConnectionFailedError(described(error)) from error

    async def _watch(self, watch: Watch) -> Watched:
        reader = EventReader(watch)
        headers = {**self._settings.headers(watch.path), "Accept": "text/event-stream"}
        if watch.last_event_id:
            headers["Last-Event-ID"] = watch.last_event_id
        try:
            address = self._settings.address(watch.path)
            async with self._http.stream("GET", address, headers=headers) as response:
                if response.status_code == 200:
                    async for line in response.aiter_lines():
                        reader.line(line)
                        if reader.done:
                            break
        except httpx.HTTPError:
            pass  # The operation reads the video instead, and listens again.
        return reader.watched


async def _pieces(stored: Media) -> AsyncIterator[bytes]:
    for piece in pieces(stored):
        yield piece


class AsyncVideos:
    """`AsyncAvatar.videos`."""

    def __init__(self, client: AsyncAvatar) -> None:
        self._client = client

    async def create(
        self,
        *,
        image: MediaInput | None = None,
        audio: MediaInput | None = None,
        video: MediaInput | None = None,
        audio_2: MediaInput | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> AsyncVideo:
        """As `Avatar.videos.create`."""
        operation = protocol.create(image, audio, video, audio_2, idempotency_key, options)
        return AsyncVideo(self._client, await self._client.run(operation))

    async def estimate(
        self,
        *,
        image: MediaInput | None = None,
        audio: MediaInput | None = None,
        video: MediaInput | None = None,
        audio_2: MediaInput | None = None,
        **options: Any,
    ) -> Estimate:
        """As `Avatar.videos.estimate`."""
        return await self._client.run(protocol.estimate(image, audio, video, audio_2, options))

    async def get(self, video_id: str) -> AsyncVideo:
        """Raises: NotFoundError: There is no such video."""
        return AsyncVideo(self._client, await self._client.run(protocol.read(video_id)))

    async def list(self, **filters: str) -> AsyncIterator[AsyncVideo]:
        """All videos, newest first, page by page as they are needed."""
        cursor: str | None = None
        while True:
            found, cursor = await self._client.run(protocol.page("/jobs", filters, cursor))
            for each in found:
                yield AsyncVideo(self._client, VideoState.read(each))
            if cursor is None:
                return


class AsyncVideo:
    """A video, as it was when it was last read."""

    def __init__(self, client: AsyncAvatar, state: VideoState) -> None:
        self._client = client
        self.state = state

    async def wait(self, timeout: float | None = None, on_progress: OnProgress | None = None) -> AsyncVideo:
        """As `Video.wait`."""
        operation = self._client.run(protocol.wait(self.id, on_progress))
        try:
            self.state = await asyncio.wait_for(operation, timeout)
        except asyncio.TimeoutError as error:  # noqa: UP041 - another class before Python 3.11
            raise WaitTimeoutError("The video hasn't ended yet.") from error
        protocol.raise_unless_finished(self.state)
        return self

    async def download(self, path: str | Path) -> Path:
        """As `Video.download`."""
        target = Path(path).expanduser()
        await self._client.run(protocol.download(self.state, target))
        return target

    async def refresh(self) -> AsyncVideo:
        self.state = await self._client.run(protocol.read(self.id))
        return self

    async def cancel(self) -> AsyncVideo:
        self.state = await self._client.run(protocol.act(self.id, "cancel"))
        return self

    async def retry(self) -> AsyncVideo:
        """The same request once more, as a new video."""
        return AsyncVideo(self._client, await self._client.run(protocol.act(self.id, "retry")))

    async def delete(self) -> None:
        """Remove the video's files."""
        await self._client.run(protocol.delete(self.id))

    @property
    def id(self) -> str:
        return self.state.id

    @property
    def status(self) -> str:
        return self.state.status

    @property
    def progress(self) -> int:
        return self.state.progress

    @property
    def stream_url(self) -> str | None:
        """An HLS playlist that plays what is finished, from the first window on."""
        return self.state.stream_url

    @property
    def output(self) -> Output | None:
        return self.state.output

    @property
    def error(self) -> Failure | None:
        return self.state.error

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.state.metadata

    def __repr__(self) -> str:
        return f"<AsyncVideo {self.id} {self.status}>"
