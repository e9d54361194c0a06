"""Logs of both sides: one JSON object a line, which says in which request and for which job it was written.

    with logs.bound(job="job_…", attempt=2):
        log.info("window %s is saved", 3)

    {"time": "2026-01-31T12:00:00.123+00:00", "level": "INFO", "logger": "gpu_worker.tasks",
     "message": "window 3 is saved", "job": "job_…", "attempt": 2}

What is bound follows the code that runs inside, in its own thread. Ids are bound, never a name, an address
or a secret.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default={})  # noqa: B039  (never changed in place)


@contextmanager
def bound(**ids: Any) -> Iterator[None]:
    """Every line written inside tells these ids, and those that are bound meanwhile."""
    token = _bound.set({**_bound.get(), **ids})
    try:
        yield
    finally:
        _bound.reset(token)


def bind(**ids: Any) -> None:
    """From now on tell these ids, too, until the enclosing `bound` ends."""
    _bound.set({**_bound.get(), **ids})


def current() -> Mapping[str, Any]:
    """The ids that are bound here."""
    return _bound.get()


def to_stderr() -> None:
    """Write this process's log as LOG_LEVEL and LOG_STYLE say: lines for people, or `json`."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    if os.environ.get("LOG_STYLE") == "json":
        logging.getLogger().handlers[0].setFormatter(JsonFormatter())


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: what `extra={"fields": {…}}` gave, and what is bound."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
            **current(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
