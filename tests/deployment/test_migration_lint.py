"""What `make lint` says of migrations: which of them the release before wouldn't survive."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from ops.lint_migrations import OURS, is_unfit

pytestmark = pytest.mark.django_db
# As `migrate` is, which an index that is made concurrently needs.
BESIDE_ANY_TRANSACTION = pytest.mark.django_db(transaction=True, serialized_rollback=True)

FIRST = """
from django.db import migrations, models

class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Row", fields=[("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())]
        ),
    ]
"""
SECOND = """
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("lined", "0001_initial")]
    operations = [{operation}]
"""


@pytest.fixture
def verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Whether a second migration with this operation is unfit."""
    folder = tmp_path / "lined" / "migrations"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "0001_initial.py").write_text(FIRST)
    monkeypatch.syspath_prepend(str(tmp_path))

    def judge(operation: str, *, atomic: bool = True) -> bool:
        (folder / "0002_second.py").write_text(SECOND.format(operation=operation, atomic=atomic))
        importlib.invalidate_caches()
        with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "lined"]):
            try:
                return is_unfit(["lined"])
            finally:
                for name in [name for name in sys.modules if name.split(".")[0] == "lined"]:
                    del sys.modules[name]

    return judge


@BESIDE_ANY_TRANSACTION
def test_ours_are_fit() -> None:
    assert not is_unfit(OURS)


@pytest.mark.parametrize(
    "operation",
    [
        "migrations.RemoveField('row', 'name')",
        "migrations.RenameField('row', 'name', 'title')",
        "migrations.DeleteModel('Row')",
        "migrations.AlterField('row', 'name', models.IntegerField())",
        "migrations.AddField('row', 'size', models.IntegerField(default=0))",
        "migrations.AddIndex('row', models.Index(fields=['name'], name='by_name'))",
    ],
)
def test_what_the_release_before_would_notice_is_unfit(
    verdict: Callable[..., bool], operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(operation)
    assert "(lined, 0002_second)... ERR" in capsys.readouterr().out


@pytest.mark.parametrize(
    "operation",
    [
        "migrations.AddField('row', 'size', models.IntegerField(null=True))",
        "migrations.AddField('row', 'size', models.IntegerField(default=0, db_default=0))",
    ],
)
def test_what_it_would_not_notice_is_fit(verdict: Callable[..., bool], operation: str) -> None:
    assert not verdict(operation)


@BESIDE_ANY_TRANSACTION
def test_an_index_that_is_made_while_others_write_is_fit(verdict: Callable[..., bool]) -> None:
    operation = "AddIndexConcurrently('row', models.Index(fields=['name'], name='by_name'))"
    assert not verdict(operation, atomic=False)
