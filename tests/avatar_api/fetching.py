"""Fetches of our own servers: 127.0.0.1 plays the public internet, and 127.0.0.2 our own network."""

import io
import ipaddress
from typing import Any

from avatar_api.common import outbound
from avatar_api.common.outbound import (
    Fetched,
    Rules,
)

PUBLIC = ipaddress.ip_address("127.0.0.1")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Names:
    """A resolver that gives one answer after the other, and the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def rules(resolve: outbound.Resolver | None = None, **fields: Any) -> Rules:
    return Rules(
        schemes=fields.get("schemes", frozenset({"http", "https"})),
        may_reach=lambda address: address == PUBLIC,
        resolve=resolve or Names(["127.0.0.1"]),
        tls=fields.get("tls", outbound.system_trust()),
    )


def fetch(
    url: str,
    ruled: Rules | None = None,
    *,
    into: io.BytesIO | None = None,
    seconds: float = 5,
    **options: Any,
) -> Fetched:
    target = io.BytesIO() if into is None else into
    return outbound.fetch_to_file(
        url, target, max_bytes=100_000, seconds=seconds, rules=ruled or rules(), **options
    )
