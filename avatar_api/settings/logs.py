"""How every process of the control side writes its log."""

from typing import Any


def logging_config(*, level: str, style: str) -> dict[str, Any]:
    """LOGGING for lines to stderr.

    Args:
        level: The least level that is written.
        style: `line` for people, `json` for machines: one object a line.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "avatar_api.common.request_id.RequestIdFilter"},
            "route": {"()": "avatar_api.common.observation.RouteFilter"},
        },
        "formatters": {
            "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
            "json": {"()": "gpu_worker.common.logs.JsonFormatter"},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": style, "filters": ["request_id"]},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"handlers": ["stderr"], "propagate": False},
            # It tells the path of what was refused or failed, and the path of a file holds its signature.
            "django.request": {"level": "ERROR", "filters": ["route"]},
            # RQ tells of every job with its arguments.
            "rq": {"level": "WARNING"},
        },
    }
