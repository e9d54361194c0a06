"""The documents, and the command lines in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.production import REPOSITORY

# docs/API.md is run from end to end by tests/e2e/test_guide.py.
WITH_COMMANDS = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(path for path in (REPOSITORY / "docs").glob("*.md") if path.name != "API.md"),
]
ALL = [*WITH_COMMANDS, REPOSITORY / "docs" / "API.md", REPOSITORY / "CHANGELOG.md"]

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_HERE_DOCUMENT = re.compile(r"<<'END'\n(.*?)^\s*END$", re.DOTALL | re.MULTILINE)
_SUBSTITUTION = re.compile(r"\$\(((?:[^()']|'[^']*')*)\)")
_IN_A_SENTENCE = re.compile(
    r"`((?:python3? |manage\.py |make |docker |\.venv/bin/|ops/\w+\.sh|gpu_worker/\w+\.sh)[^`…]*)`"
)
_ASSIGNMENT = re.compile(r"(\w+)=.*", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One program with its arguments, and the variables that are set for it."""

    document: str
    variables: tuple[str, ...]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(document: Path) -> list[tuple[str, str]]:
    """Language and text of each."""
    return BLOCK.findall(document.read_text())


def commands_of_section(document: Path, title: str) -> str:
    """The shell's lines below a heading, up to the next one."""
    _, _, below = document.read_text().partition(f"\n## {title}\n")
    section = re.split(
        r"^#", BLOCK.sub(lambda block: block[0].replace("\n#", "\n #"), below), flags=re.MULTILINE
    )[0]
    return "\n".join(text for language, text in BLOCK.findall(section) if language == "sh")


def here_documents() -> Iterator[str]:
    """What commands write to files: variables."""
    for document in WITH_COMMANDS:
        for language, text in blocks(document):
            if language == "sh":
                yield from _HERE_DOCUMENT.findall(text)


def commands() -> Iterator[Command]:
    for document in WITH_COMMANDS:
        for language, text in blocks(document):
            if language == "sh":
                yield from commands_of(document.name, _HERE_DOCUMENT.sub("", text).replace("\\\n", " "))
        for text in _IN_A_SENTENCE.findall(BLOCK.sub("", document.read_text())):
            yield from commands_of(document.name, text)


def commands_of(document: str, text: str) -> Iterator[Command]:
    """The commands of a few lines of shell, those inside `$(…)` first."""
    for line in text.splitlines():
        for inner in _SUBSTITUTION.findall(line):
            yield from commands_of(document, inner)
        words = shlex.shlex(_SUBSTITUTION.sub("answer", line), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        yield from separated(document, list(words))


def separated(document: str, words: list[str]) -> Iterator[Command]:
    """Split at pipes and the like; where output goes is no argument."""
    current: list[str] = []
    skip = False
    for word in [*words, ";"]:
        if word in ("|", "||", "&&", ";", "&"):
            if current:
                yield command(document, current)
            current = []
        elif word in (">", ">>", "<", "2>"):
            skip = True
        elif skip:
            skip = False
        else:
            current.append(word)


def command(document: str, words: list[str]) -> Command:
    variables = []
    while words and (found := _ASSIGNMENT.fullmatch(words[0])):
        variables.append(found[1])
        words = words[1:]
    return Command(document, tuple(variables), tuple(words))
