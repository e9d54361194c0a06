"""`avatar mcp`: the API as tools of a language model (Model Context Protocol), by stdin or HTTP.

    AVATAR_API_KEY=av_test_… avatar mcp --folder ~/videos
    avatar mcp --http 8765 --folder ~/videos

With HTTP each caller brings its own key (`Authorization: Bearer av_…`); the server listens only on loopback
and answers no page of another origin. What costs money is confirmed by a person before, and refused where the
client can't put a question to one.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel, Field

from avatar.asynchronous import AsyncAvatar, AsyncVideo
from avatar.connection import VERSION
from avatar.errors import AvatarError, WaitTimeoutError
from avatar.models import VideoState

LOOPBACK = "127.0.0.1"
LIVE_KEY = "av_live_"
MOST_LISTED = 50
ADDRESSES = ("https://", "http://", "data:")
INSTRUCTIONS = """Makes talking videos from a portrait and speech. estimate says what a video would cost,
create_video begins one, wait_for_video waits for its end and saves it. Files are paths below the folder that
the server was started with, or https URLs. Get the consent of the people who are shown."""

FILES = ("image", "video", "audio")


class Order(BaseModel):
    """The video that is wanted: an image, or a video to dub; and audio, or a text with a voice."""

    image: str | None = Field(None, description="The portrait: a path below the allowed folder, or a URL.")
    video: str | None = Field(None, description="In place of the image: a video to dub, likewise.")
    audio: str | None = Field(None, description="The speech, likewise.")
    text: str | None = Field(None, description="In place of the audio: what is said.")
    voice: str | None = Field(None, description="Who says the text.")
    preset: str | None = None
    resolution: str | None = Field(None, description="480p or 720p.")
    prompt: str | None = Field(None, description="What the video shows.")
    seed: str | None = None


class Confirmation(BaseModel):
    """What a person answers."""

    confirmed: bool = Field(description="Make the video and pay for it.")


@dataclasses.dataclass(frozen=True)
class Caller:
    """For whom requests are made.

    Attributes:
        key: The API key.
        url: Of the deployment.
    """

    key: str
    url: str

    def client(self) -> AbstractAsyncContextManager[AsyncAvatar]:
        return AsyncAvatar(self.key, self.url)

    @property
    def pays(self) -> bool:
        return self.key.startswith(LIVE_KEY)


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where files may be read and written; None: nowhere."""

    path: Path | None

    def file(self, given: str) -> str:
        """The path of a file that was named, or the URL as it is.

        Raises:
            ToolError: It lies elsewhere.
        """
        if given.startswith(ADDRESSES):
            return given
        if self.path is None:
            raise ToolError("Files are not allowed here: the server was started without --folder.")
        allowed, wanted = self.path.resolve(), (self.path / given).expanduser().resolve()
        if not wanted.is_relative_to(allowed):
            raise ToolError(f"{given} is not below the allowed folder.")
        return str(wanted)


def make_server(caller_of: Callable[[Context], Caller], folder: Folder) -> MCPServer:
    """The tools.

    Args:
        caller_of: Whose request it is, or raises `ToolError`.
        folder: Whose files may be sent, and where videos are saved.
    """
    server = MCPServer("avatar-api", instructions=INSTRUCTIONS, version=VERSION, log_level="WARNING")

    def request(order: Order) -> dict[str, Any]:
        fields = order.model_dump(exclude_none=True)
        return fields | {name: folder.file(fields[name]) for name in FILES if name in fields}

    async def confirmed(ctx: Context, order: Order) -> Confirmation | Elicit[Confirmation]:
        """Test keys cost nothing; with a live key a person has to agree to the price."""
        caller = caller_of(ctx)
        if not caller.pays:
            return Confirmation(confirmed=True)
        with _refusals():
            async with caller.client() as avatar:
                found = await avatar.videos.estimate(**request(order))
        message = f"A video of {found.duration_seconds:.1f} s for ${found.estimated_cost_usd}: make it?"
        return Elicit(message, Confirmation)

    @server.tool()
    async def estimate(ctx: Context, order: Order) -> dict[str, Any]:
        """What a video would take and cost, and what may be wrong with its files. Makes nothing."""
        with _refusals():
            async with caller_of(ctx).client() as avatar:
                return dataclasses.asdict(await avatar.videos.estimate(**request(order)))

    @server.tool()
    async def create_video(
        ctx: Context, order: Order, confirmation: Annotated[Confirmation, Resolve(confirmed)]
    ) -> dict[str, Any]:
        """Begin a talking video."""
        if not confirmation.confirmed:
            raise ToolError("The person did not agree to the price; nothing was made.")
        with _refusals():
            async with caller_of(ctx).client() as avatar:
                return _shown((await avatar.videos.create(**request(order))).state)

    @server.tool()
    async def wait_for_video(
        ctx: Context, video_id: str, save_as: str | None = None, timeout_seconds: float = 600
    ) -> dict[str, Any]:
        """Wait until a video has ended; with save_as, a path below the allowed folder, save it there."""
        target = None if save_as is None else folder.file(save_as)
        with _refusals():
            async with caller_of(ctx).client() as avatar:
                video = await avatar.videos.get(video_id)
                await video.wait(timeout=timeout_seconds)
                if target is not None:
                    await video.download(target)
                return _shown(video.state) | ({"saved_as": target} if target else {})

    @server.tool()
    async def list_videos(ctx: Context, status: str | None = None, limit: int = 10) -> list[dict[str, Any]]:
        """The newest videos: queued, processing, succeeded, failed or canceled."""
        filters = {"status": status} if status else {}
        found: list[dict[str, Any]] = []
        with _refusals():
            async with caller_of(ctx).client() as avatar:
                async for video in avatar.videos.list(**filters):
                    if len(found) >= min(limit, MOST_LISTED):
                        break
                    found.append(_shown(video.state))
        return found

    @server.tool()
    async def cancel_video(ctx: Context, video_id: str) -> dict[str, Any]:
        """Cancel a video that hasn't ended."""
        with _refusals():
            async with caller_of(ctx).client() as avatar:
                video: AsyncVideo = await avatar.videos.get(video_id)
                return _shown((await video.cancel()).state)

    @server.tool()
    async def get_usage(ctx: Context) -> dict[str, Any]:
        """What was used this month, and what the plan allows."""
        with _refusals():
            async with caller_of(ctx).client() as avatar:
                return {"usage": await avatar.usage(), "account": await avatar.me()}

    @server.resource("avatar://videos/{video_id}", mime_type="application/json")
    async def video(ctx: Context, video_id: str) -> dict[str, Any]:
        """A video, its addresses included."""
        try:
            async with caller_of(ctx).client() as avatar:
                return (await avatar.videos.get(video_id)).state.raw
        except (AvatarError, ToolError) as error:
            raise ResourceError(str(error)) from error

    return server


@contextmanager
def _refusals() -> Iterator[None]:
    """Turns what the API refuses into errors that the model may read and act on."""
    try:
        yield
    except WaitTimeoutError as error:
        raise ToolError("The video hasn't ended yet; wait again.") from error
    except AvatarError as error:
        faults = [f"{fault.field}: {fault.detail}" for fault in getattr(error, "errors", [])]
        raise ToolError("; ".join([str(error), *faults])) from error


def _shown(state: VideoState) -> dict[str, Any]:
    """What a model needs to know of a video."""
    return {
        "video_id": state.id,
        "status": state.status,
        "progress": state.progress,
        "eta_seconds": state.eta_seconds,
        "stream_url": state.stream_url,
        "video_url": state.output.url if state.output else None,
        "error": dataclasses.asdict(state.error) if state.error else None,
    }


def serve_stdio(key: str, url: str, folder: Path) -> None:
    """Serve one client, which started this process."""
    caller = Caller(key, url)
    make_server(lambda _: caller, Folder(folder)).run()


def serve_http(url: str, folder: Path | None, port: int) -> None:
    """Serve clients on this machine, each with its own key, until Ctrl-C."""

    def caller_of(ctx: Context) -> Caller:
        scheme, _, key = (ctx.headers or {}).get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.startswith("av_"):
            raise ToolError("Send an API key: Authorization: Bearer av_….")
        return Caller(key, url)

    names = [f"{host}:{port}" for host in (LOOPBACK, "localhost")]
    security = TransportSecuritySettings(
        allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
    )
    server = make_server(caller_of, Folder(folder))
    server.run("streamable-http", host=LOOPBACK, port=port, stateless_http=True, transport_security=security)
