"""An application that takes its time, for tests of the server that runs ours."""

import asyncio
import os
from typing import Any

SECONDS = 1.5
in_work = 0


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with the process that serves and the slow requests in its work; on `/slow` after a while."""
    global in_work
    if scope["type"] != "http":
        return
    if scope["path"] == "/slow":
        in_work += 1
        await asyncio.sleep(SECONDS)
        in_work -= 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{os.getpid()} {in_work}".encode()})
