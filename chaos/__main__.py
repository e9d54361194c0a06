"""`python -m chaos`: one run; 1 when a promise was broken, 2 when it could not be finished.

JOBS (200), SEED (drawn and printed) and SECONDS (750, for all of it) come from the environment. SHORT=1 is
the form that the tests run: a dozen jobs, a few faults, and leases of seconds instead of a minute.
"""

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

import django

from chaos.stack import Hurry, Stack
from launcher.environment import ROOT
from launcher.terminal import Failure, say

HURRY = Hurry(lease=4, round=1)
# Of what was broken; broken.log has all of it.
SHOWN = 40
UNFINISHED = 2


def main() -> int:
    short = os.environ.get("SHORT", "") not in ("", "0")
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    home = ROOT / ".avatar" / "chaos"
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=home))
    stack = Stack(folder, HURRY if short else None)
    os.environ.update(stack.environment | {"LOG_LEVEL": "ERROR"})
    django.setup()
    from chaos.quiescence import UnfinishedError
    from chaos.run import Settings, run

    settings = Settings(
        seed=seed,
        jobs=int(os.environ.get("JOBS") or (12 if short else 200)),
        seconds=float(os.environ.get("SECONDS") or (150 if short else 750)),
        short=short,
    )
    try:
        broken = run(settings, stack)
    except Failure as failure:
        broken = [str(failure)]
    except UnfinishedError as error:
        say(f"\n  Unfinished, and nothing is said of the promises: {error} See {stack.logs}.")
        return UNFINISHED
    if not broken:
        shutil.rmtree(folder)
        return 0
    say(f"\n  {len(broken)} times a promise was broken:")
    for sentence in broken[:SHOWN]:
        say(f"    {sentence}")
    (stack.logs / "broken.log").write_text("\n".join(broken) + "\n")
    say(f"\n  Repeat it with SEED={seed}; what everybody wrote lies in {stack.logs}.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
