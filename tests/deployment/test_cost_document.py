from ops.cost_tables import DOCUMENT, TABLES, with_tables


def test_the_documents_tables_are_what_the_code_computes() -> None:
    document = DOCUMENT.read_text()

    assert document == with_tables(document), "run: python -m ops.cost_tables"


def test_every_table_is_in_the_document() -> None:
    document = DOCUMENT.read_text()

    assert all(f"<!-- computed: {name} -->" in document for name in TABLES)
