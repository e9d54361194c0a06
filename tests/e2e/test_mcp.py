"""`avatar mcp` as language models use it: by the SDK's own client, against a whole deployment."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from avatar_api.embedded import Postgres
from tests.e2e.conftest import Live
from tests.gpu_worker.preview_jobs import PORTRAIT

pytest.importorskip("mcp", reason="the MCP SDK isn't installed")

import mcp_types
from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "clients" / "python" / "src"
MODULE = ("-m", "avatar.cli", "mcp")


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE), "no_proxy": "127.0.0.1", **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "me.png").write_bytes(PORTRAIT.read_bytes())
    return tmp_path


def talk(
    live: Live, folder: Path, conversation: Callable[[Client], Awaitable[Any]], key: str = "", **how: Any
) -> Any:
    """Hold a conversation with a server that the client started, as desktop programs do."""
    variables = environment(AVATAR_API_KEY=key or live.key, AVATAR_API_URL=live.url)
    program = StdioServerParameters(
        command=sys.executable, args=[*MODULE, "--folder", str(folder)], env=variables
    )

    async def connected() -> Any:
        async with Client(program, **how) as client:
            return await conversation(client)

    return asyncio.run(asyncio.wait_for(connected(), 300))


def content(result: Any) -> Any:
    assert not result.is_error, result.content
    return result.structured_content


def test_a_video_is_estimated_made_from_a_text_waited_for_and_saved(live: Live, folder: Path) -> None:
    order = {"order": {"image": "me.png", "text": "Good morning from a model.", "resolution": "480p"}}

    async def conversation(client: Client) -> None:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {
            *("estimate", "create_video", "wait_for_video", "list_videos", "cancel_video", "get_usage"),
        }
        found = content(await client.call_tool("estimate", order))
        assert 1 < found["duration_seconds"] < 4
        video = content(await client.call_tool("create_video", order))
        wait = {"video_id": video["video_id"], "save_as": "videos.mp4"}
        ended = content(await client.call_tool("wait_for_video", wait))
        assert ended["status"] == "succeeded"
        assert (folder / "videos.mp4").stat().st_size > 10_000
        (resource,) = (await client.read_resource(f"avatar://videos/{video['video_id']}")).contents
        assert json.loads(resource.text)["id"] == video["video_id"]
        listed = content(await client.call_tool("list_videos", {"status": "succeeded"}))
        assert video["video_id"] in [each["video_id"] for each in listed["result"]]
        assert content(await client.call_tool("get_usage", {}))["account"]["plan"]

    talk(live, folder, conversation)


@pytest.mark.parametrize("path", ["/etc/hostname", "../me.png", "link.png"])
def test_files_outside_of_the_folder_are_neither_read_nor_written(
    live: Live, folder: Path, path: str
) -> None:
    (folder / "link.png").symlink_to("/etc/hostname")

    async def conversation(client: Client) -> None:
        sent = await client.call_tool("estimate", {"order": {"image": path, "text": "Hello."}})
        saved = await client.call_tool("wait_for_video", {"video_id": "job_x", "save_as": path})
        for result in (sent, saved):
            assert result.is_error
            assert "not below the allowed folder" in result.content[0].text

    talk(live, folder, conversation)


def test_what_the_api_refuses_is_said_with_its_field(live: Live, folder: Path) -> None:
    order = {"image": "me.png", "text": "Hi.", "voice": "nobody"}

    async def conversation(client: Client) -> None:
        result = await client.call_tool("create_video", {"order": order})
        assert result.is_error
        assert "voice: " in result.content[0].text

    talk(live, folder, conversation)


def test_with_a_live_key_nothing_is_made_before_a_person_agrees_to_the_price(
    live: Live, folder: Path, live_key: str
) -> None:
    questions: list[str] = []
    order = {"order": {"image": "me.png", "text": "This costs something.", "resolution": "480p"}}

    async def decline(_context: Any, params: Any) -> Any:
        questions.append(params.message)
        return mcp_types.ElicitResult(action="decline")

    async def create(client: Client) -> Any:
        return await client.call_tool("create_video", order)

    declined = talk(live, folder, create, key=live_key, elicitation_callback=decline)
    assert declined.is_error
    assert len(questions) == 1
    assert "$" in questions[0]
    with pytest.raises(Exception) as refused:  # noqa: PT011 - the SDK's own, in a group
        talk(live, folder, create, key=live_key)
    assert "elicitation" in "".join(traceback.format_exception(refused.value))
    jobs = httpx.get(f"{live.url}/v1/jobs", headers={"Authorization": f"Bearer {live_key}"}).json()
    assert jobs["data"] == []


@pytest.fixture
def live_key(live: Live) -> str:
    """One that pays, of the organization that the stack made."""
    variables = environment(DATABASE_URL=Postgres(live.state / "postgres").url)
    variables["DJANGO_SETTINGS_MODULE"] = "avatar_api.settings.local"
    command = [sys.executable, "manage.py", "createapikey", "--mode", "live", "--organization", "demo"]
    made = subprocess.run(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return re.search(r"av_live_\w+", made.stdout)[0]  # type: ignore[index]


@pytest.fixture
def address(live: Live) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = environment(AVATAR_API_URL=live.url)
    server = subprocess.Popen([sys.executable, *MODULE, "--http", str(port)], env=variables)
    try:
        for _ in range(300):
            if server.poll() is None and _answers(port):
                break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.terminate()
        server.wait()


def _answers(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/", timeout=1).status_code)
    except httpx.HTTPError:
        return False


def test_over_http_each_caller_needs_a_key_and_pages_of_other_origins_get_nothing(
    live: Live, address: str
) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "get_usage", "arguments": {}},
    }
    accepted = {"Accept": "application/json, text/event-stream"}

    def answer(**headers: str) -> httpx.Response:
        return httpx.post(address, json=call, headers=accepted | headers, timeout=30)

    assert '"isError":true' in answer().text
    assert '"plan"' in answer(Authorization=f"Bearer {live.key}").text.replace("\\", "")
    stranger = answer(Authorization=f"Bearer {live.key}", Origin="https://evil.example")
    assert stranger.status_code == 403
    assert answer(Host="evil.example").status_code == 421
