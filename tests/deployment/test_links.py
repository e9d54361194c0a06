"""Links from one document to another lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.deployment.documents import ALL, BLOCK
from tests.deployment.production import REPOSITORY

TOP = {path.name for path in REPOSITORY.iterdir()}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def links(document: Path) -> list[str]:
    """Those to files of ours, and within the document."""
    found = LINK.findall(BLOCK.sub("", document.read_text()))
    return [link for link in found if not link.startswith(("http://", "https://", "mailto:"))]


def anchors(document: Path) -> set[str]:
    """As GitHub makes them from headings: lower case, without punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", ALL, ids=lambda path: path.name)
def test_each_link_leads_to_a_file_and_a_heading_that_there_are(document: Path) -> None:
    for link in links(document):
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document

        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        assert not anchor or anchor in anchors(target), link


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        document = waiting.pop()
        if document not in reached and document.suffix == ".md":
            reached.add(document)
            waiting += [(document.parent / link.partition("#")[0]).resolve() for link in links(document)]

    assert set(ALL) <= reached


@pytest.mark.parametrize("document", ALL, ids=lambda path: path.name)
def test_files_that_a_sentence_names_are_there(document: Path) -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.\w+|(?:[\w.-]+/)+)`", BLOCK.sub("", document.read_text()))
    ours = [path for path in named if path.partition("/")[0] in TOP]

    assert all((REPOSITORY / path).exists() for path in ours), ours
