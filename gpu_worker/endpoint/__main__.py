"""What is left to do until RunPod runs what `gpu_worker/runpod.toml` declares.

    python -m gpu_worker.endpoint plan [--file FILE]

It reads the account whose key is in RUNPOD_API_KEY, changes nothing, and prints the steps with the commands
that take them. Exit status: 0 when there is nothing to do, 2 when there is, 1 when nobody can say.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from environs import EnvError, FileAwareEnv

from gpu_worker.endpoint import declaration, plan, report
from gpu_worker.endpoint.errors import EndpointError
from gpu_worker.endpoint.plan import Request, Step

FILE = Path(__file__).resolve().parents[1] / "runpod.toml"
EQUAL, UNKNOWN, DIFFERENT = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """One whose own mistakes don't look like a plan with steps in it."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNKNOWN, f"{self.format_usage()}{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="gpu_worker.endpoint", description="Compare RunPod with what is declared.")
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan", help="print the steps that are left to take")
    planning.add_argument("--file", type=Path, default=FILE, help="the declaration")
    planning.add_argument("--api", default=report.ADDRESS, help="where RunPod's REST API is")
    options = parser.parse_args(arguments)
    try:
        declared = declaration.read(options.file)
        found = report.Account(
            FileAwareEnv(strip_whitespace=True).str("RUNPOD_API_KEY"), options.api
        ).report()
        steps = plan.steps(declared, found)
    except EnvError:
        print("RUNPOD_API_KEY, or RUNPOD_API_KEY_FILE, must be in the environment.", file=sys.stderr)
        return UNKNOWN
    except EndpointError as error:
        print(error, file=sys.stderr)
        return UNKNOWN
    if found.secrets is None:
        print("The key may not read the names of secrets: whether they are there wasn't looked at.")
    print("\n".join(described(steps, options.api)))
    return DIFFERENT if steps else EQUAL


def described(steps: Sequence[Step], address: str) -> Iterator[str]:
    if not steps:
        yield "RunPod runs what is declared."
    for number, step in enumerate(steps, start=1):
        yield f"{number}. {step.of}"
        yield from (f"   {reason}" for reason in step.reasons)
        if step.request is not None:
            yield f"   {command(step.request, address)}"


def command(request: Request, address: str) -> str:
    """What to paste into a shell that has RUNPOD_API_KEY."""
    headers = '-H "Authorization: Bearer $RUNPOD_API_KEY" -H "Content-Type: application/json"'
    body = shlex.quote(json.dumps(request.body, sort_keys=True))
    return f"curl -X {request.method} {address.rstrip('/')}{request.path} {headers} -d {body}"


if __name__ == "__main__":
    sys.exit(main())
