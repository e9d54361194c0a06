"""Every command line of the documents is one that the code takes; those that can run here are run.

What a command needs is looked up where the code says it: commands and options of manage.py in its parsers,
those of modules and scripts in their source, targets of make in the launcher, services and files of Docker in
the compose files and Dockerfiles, addresses in the URLs.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from django.core.management import CommandError, get_commands, load_command_class
from django.urls import Resolver404, resolve

from avatar_api.common.checks import MIN_SECRET_LENGTH
from launcher.commands import COMMANDS, HELP
from ops.environment_table import MEANINGS
from tests.deployment.documents import ALL, BLOCK, Command, blocks, commands, commands_of, here_documents
from tests.deployment.production import COMPLETE, REPOSITORY, run

DOCUMENTED = sorted(set(commands()), key=lambda command: (command.document, str(command)))

# Programs of others, and why they aren't run here. Nor are those of `docker`, which need an engine, `curl`,
# which need a deployment (those of docs/API.md are run by test_guide.py), `make`, which others start, and
# what needs the hub's files or a GPU.
ELSEWHERES = {
    "cat": "writes files that are checked by themselves",
    "chown": "changes the host",
    "date": "names a file",
    "export": "is the shell's",
    "git": "would tag and push a release",
    "grep": "filters what another prints",
    "jq": "reads logs of a deployment",
    "mkdir": "changes the host",
    "pip": "changes an environment beside ours",
    "pg_dump": "is run by test_backup.py",
    "pg_restore": "is run by test_backup.py",
    "promtool": "is run by test_alerts.py where it is installed",
    "sudo": "changes the host",
    "tee": "keeps what another prints",
    "umask": "is the shell's",
}
INSTALLED = {f".venv/bin/{program.name}" for program in Path(sys.executable).parent.iterdir()}
# What compose.production.yaml mounts, and what the image sets.
SECRETS = ("SECRET_KEY", "SALT_KEY", "DATABASE_URL", "REDIS_URL", "R2_SECRET_ACCESS_KEY")
MODULE = {"DJANGO_SETTINGS_MODULE": "avatar_api.settings.production"}
# Of a reader's shell, of compose, and of Docker's build: no variables that the code reads.
OF_THE_SHELL = {"API", "ARGS", "AUDIO", "IMAGE", "JOB", "KEY", "KEEP", "PORT", "API_HOST", "COMPOSE_FILE"}


def make(words: Sequence[str]) -> None:
    target, *options = words
    assert target in COMMANDS
    for option in options:
        assert f"{option.partition('=')[0]}=" in HELP


def python(words: Sequence[str]) -> None:
    match words:
        case ["-c", code]:
            compile(code, "documented", "exec")
        case ["manage.py", name, *arguments]:
            manage(name, arguments)
        case ["-m", module, *arguments]:
            spec = find_spec(module)
            assert spec
            names_are_known(arguments, Path(spec.origin or "").parent.rglob("*.py"))
        case [script, *arguments]:
            names_are_known(arguments, [REPOSITORY / script])


def manage(name: str, arguments: Sequence[str]) -> None:
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    parser.parse_args(list(arguments))  # Raises CommandError.


def names_are_known(arguments: Sequence[str], sources: Iterable[Path]) -> None:
    """Options, and words that choose what to do, stand in the source as strings."""
    source = "\n".join(path.read_text() for path in sources)
    for previous, argument in pairwise(("", *arguments)):
        chooses = argument.isidentifier() and not previous.startswith("-")
        if (chooses or argument.startswith("-")) and argument != "--help":
            assert f'"{argument}"' in source


def script(path: str, words: Sequence[str]) -> None:
    file = REPOSITORY / path
    assert os.access(file, os.X_OK)
    for option in words:
        assert option in file.read_text()


def docker(words: Sequence[str]) -> None:
    match words:
        case ["build", *options]:
            dockerfile = (REPOSITORY / after(options, "--file", "Dockerfile")).read_text()
            if argument := after(options, "--build-arg", ""):
                assert f"ARG {argument.partition('=')[0]}=" in dockerfile
        case ["compose", *options]:
            docker_compose(options)
        case _:
            assert words[0] in ("push", "buildx")


def docker_compose(words: Sequence[str]) -> None:
    files = [after(words, "--file", "")] if "--file" in words else ["compose.yaml", "compose.production.yaml"]
    known = [yaml.safe_load((REPOSITORY / file).read_text())["services"] for file in files]
    if profile := after(words, "--profile", ""):
        assert [profile] in [service.get("profiles") for services in known for service in services.values()]
    for verb in {"run", "exec", "kill"} & set(words):
        service, *inside = without_options(words[words.index(verb) + 1 :])
        assert any(service in services for services in known)
        if inside:
            check(Command("", (), tuple(inside)))


def without_options(words: Sequence[str]) -> Sequence[str]:
    """From the service on: what comes after it belongs to the command inside."""
    match words:
        case ["--env" | "--signal", _, *rest] | ["--rm" | "--detach" | "-T", *rest]:
            return without_options(rest)
    return words


def after(words: Sequence[str], option: str, otherwise: str) -> str:
    return words[words.index(option) + 1] if option in words else otherwise


def curl(words: Sequence[str]) -> None:
    for word in words:
        if word.startswith(("http", "$API")):
            path = urlsplit(word.replace("$API", "https://api.example.com/v1").replace("$JOB", "job_1")).path
            resolve(path)
        elif found := re.search(r"=@(.+)", word):
            assert (REPOSITORY / found[1]).exists()


PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {
    "make": make,
    "python": python,
    "python3": python,
    ".venv/bin/python": python,
    "docker": docker,
    "curl": curl,
}


def check(command: Command) -> None:
    assert set(command.variables) <= MEANINGS.keys() | OF_THE_SHELL
    match command.words:
        case ["manage.py", *_]:
            python(command.words)
        case [program, *words] if program in PROGRAMS:
            PROGRAMS[program](words)
        case [program, *words] if program.endswith(".sh"):
            script(program, words)
        case [program, *_]:
            assert program in ELSEWHERES or program in INSTALLED


@pytest.mark.parametrize("command", DOCUMENTED, ids=lambda command: f"{command.document}: {command}"[:80])
def test_a_documented_command_is_one_that_there_is(command: Command) -> None:
    check(command)


@pytest.mark.parametrize(
    "line",
    [
        "make deploy",
        "python manage.py createorganisation Acme",
        "python manage.py createapikey --organization Acme --mode both",
        "python -m gpu_worker.model_store verify --everything",
        "docker compose exec api true",
        "curl -s https://api.example.com/v1/videos",
        "ROOM=1 make demo",
    ],
)
def test_what_there_is_not_would_be_found(line: str) -> None:
    (command,) = commands_of("", line)

    with pytest.raises((AssertionError, CommandError, KeyError, Resolver404)):
        check(command)


def test_secrets_are_made_as_the_guide_says_and_pass_the_deployments_check() -> None:
    makers = {command.words for command in commands() if "secrets.token_urlsafe" in str(command)}

    for _, *arguments in makers:
        made = run(*arguments, environment={})
        assert len(made.stdout.strip()) >= MIN_SECRET_LENGTH


def test_files_that_the_operator_writes_name_variables_that_are_read() -> None:
    written = re.findall(r"^(\w+)=", "".join(here_documents()), re.MULTILINE)

    assert len(written) > 10
    assert set(written) <= MEANINGS.keys() | OF_THE_SHELL


def test_djangos_own_checks_find_nothing_in_the_production_of_the_guide() -> None:
    (control,) = (text for text in here_documents() if "PUBLIC_URL" in text)
    written = dict(line.split("=", 1) for line in control.splitlines())
    mounted = {name: COMPLETE[name] for name in SECRETS}
    checked = run("manage.py", "check", "--deploy", environment=MODULE | written | mounted)

    assert "no issues (0 silenced)" in checked.stdout, checked.stderr


@pytest.mark.parametrize("document", ALL, ids=lambda path: path.name)
def test_each_block_of_code_names_its_language(document: Path) -> None:
    assert all(language for language, _ in blocks(document))
    assert not re.search(r"(?:\A|\n)(?:#[^\n]*)?\n {4,}\w", _outside_blocks(document))


def _outside_blocks(document: Path) -> str:
    return BLOCK.sub("", document.read_text())
