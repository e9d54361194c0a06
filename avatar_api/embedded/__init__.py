"""Real Postgres and Valkey from wheels, for a machine that has neither.

Each server keeps its data in one directory and listens on a Unix socket in a directory of `/tmp`
that is named after it and closed to other users, so that two clones never meet, no port is taken
and the address is known without asking:

    with Postgres(Path(".avatar/postgres")) as postgres:
        psycopg.connect(postgres.url)

What a crash left behind is cleared by the next start. For tests, `throwaway_services` starts both
on fresh data that vanish afterwards. Postgres refuses to run as root, so root becomes nobody
first, in one of two ways (see `child_process`).
"""

from avatar_api.embedded.postgres import Postgres
from avatar_api.embedded.server import EmbeddedServerError, Server, ServerInUseError
from avatar_api.embedded.throwaway import Services, throwaway_services
from avatar_api.embedded.valkey import Valkey

__all__ = [
    "EmbeddedServerError",
    "Postgres",
    "Server",
    "ServerInUseError",
    "Services",
    "Valkey",
    "throwaway_services",
]
