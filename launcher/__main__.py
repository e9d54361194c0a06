"""Find a Python that will do, then hand over to `launcher.commands`.

This file alone must be readable by any Python 3, so that an old one ends in a sentence and not in
a syntax error.
"""

import os
import shutil
import subprocess
import sys

OLDEST, NEWEST, OWN = (3, 11), (3, 13), sys.version_info[:2]


def main():  # type: ignore[no-untyped-def]
    if OLDEST <= OWN <= NEWEST:
        from launcher.commands import main as run_command

        sys.exit(run_command(sys.argv[1:]))
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        python = shutil.which("python3.%d" % minor)  # noqa: UP031
        if python and works(python):
            os.execv(python, [python, "-m", "launcher", *sys.argv[1:]])  # noqa: S606
    sys.exit(
        "Python 3.11, 3.12 or 3.13 is needed, and %s is %d.%d: install one, or name it, "  # noqa: UP031
        "as in `make demo PYTHON=/path/to/python3.12`." % (sys.executable, OWN[0], OWN[1])
    )


def works(python):  # type: ignore[no-untyped-def]
    """Version managers put commands on the path whose version isn't there."""
    return subprocess.call([python, "-c", ""], stderr=subprocess.DEVNULL) == 0


if __name__ == "__main__":
    main()
