"""A worker of ours as it is, but with a clock that can be set wrong and, where asked, in a hurry.

    python -m chaos.child --clock FILE [--lease SECONDS --round SECONDS] gpu_worker.worker|control_worker …

FILE tells by how many seconds the clock is off; it is read all the time. Time that only ever passes
(`time.monotonic`) goes on as in life, as it does when the clock of a machine is set.
"""

import argparse
import sys
import threading
import time
from pathlib import Path

import time_machine

POLL_SECONDS = 0.2
RENDER_WORKER = "gpu_worker.worker"


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos.child")
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--lease", type=int)
    parser.add_argument("--round", type=int)
    parser.add_argument("program", choices=[RENDER_WORKER, "control_worker"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    threading.Thread(target=keep_clock, args=[options.clock], daemon=True).start()
    if options.lease:
        shorten_leases(options.lease)
    if options.program == RENDER_WORKER:
        from gpu_worker import worker

        return worker.main(options.arguments)
    run_control_worker(options.arguments, options.round)
    return 0


def keep_clock(file: Path) -> None:
    """Be as wrong as `file` says, from now on."""
    traveller: time_machine.travel | None = None
    known = 0.0
    while True:
        offset = float(file.read_text() or 0)
        if offset != known:
            if traveller:
                traveller.stop()
            traveller = time_machine.travel(time.time() + offset, tick=True) if offset else None
            if traveller:
                traveller.start()
            known = offset
        time.sleep(POLL_SECONDS)


def shorten_leases(seconds: int) -> None:
    from gpu_worker.contract import coordination

    coordination.LEASE_SECONDS = seconds
    coordination.HEARTBEAT_SECONDS = max(1, seconds // 5)


def run_control_worker(arguments: list[str], round_seconds: int | None) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    if round_seconds:
        from jobs.operations import reconcile

        reconcile.EVERY_SECONDS = round_seconds
    call_command("control_worker", *arguments)


if __name__ == "__main__":
    sys.exit(main())
