"""`manage.py` where what it needs is away."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_command_whose_redis_is_away_says_so_in_a_sentence(tmp_path: Path) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "avatar_api.settings.local",
        "REDIS_URL": f"unix://{tmp_path}/valkey.sock",
    }
    finished = subprocess.run(
        [sys.executable, "manage.py", "repair"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 1
    assert finished.stderr.startswith("Redis doesn't answer (")
    assert "Traceback" not in finished.stderr
    assert "`make run`" in finished.stderr
