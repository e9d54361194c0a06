#!/usr/bin/env python
"""Django's command line for this project; local settings unless the environment names others."""

import os
import sys

from django.core.management import execute_from_command_line
from django.db import OperationalError
from psycopg_pool import PoolTimeout
from redis.exceptions import ConnectionError as RedisAwayError

AWAY = "{} doesn't answer ({}): start it, on a laptop with `make run`, or name another one in {}."


def main() -> None:
    """Run a command; where what it needs is away, say so in a sentence."""
    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if not isinstance(error.__cause__, PoolTimeout):
            raise
        sys.exit(AWAY.format("The database", error, "DATABASE_URL"))
    except RedisAwayError as error:
        sys.exit(AWAY.format("Redis", error, "REDIS_URL"))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avatar_api.settings.local")
    main()
