import re

from ops.environment_table import DOCUMENT, MEANINGS, REPOSITORY, readings, with_table


def test_every_variable_that_is_read_has_a_meaning_and_every_meaning_a_variable() -> None:
    assert {reading.name for reading in readings()} == MEANINGS.keys()


def test_the_documents_table_is_what_the_code_reads() -> None:
    document = DOCUMENT.read_text()

    assert document == with_table(document), "run: python -m ops.environment_table"


def test_the_example_names_the_same_variables() -> None:
    named = re.findall(r"^#?(\w+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)

    assert sorted(named) == sorted(MEANINGS)
