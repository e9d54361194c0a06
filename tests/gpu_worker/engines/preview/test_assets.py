"""What the project ships that it did not write: each file as docs/ASSETS.md names it."""

import hashlib
import re
from pathlib import Path

import pytest

from gpu_worker.engines.base import RenderError
from gpu_worker.engines.preview import FaceFinder, model_files

ROOT = Path(__file__).parents[4]
FOLDERS = (
    "samples",
    "gpu_worker/engines/preview/models",
    "console/static/console/media",
    "console/static/console/vendor",
    "docs/images/portraits",
    "jobs/api/openapi/files",
    "jobs/static/jobs/voices",
    "tests/gpu_worker/pictures",
    "tests/jobs/intake/files",
)
ROW = re.compile(r"^\| `(?P<path>[^`]+)` \|.*\| `(?P<digest>[0-9a-f]{64})` \|$", re.MULTILINE)


def named() -> dict[str, str]:
    text = (ROOT / "docs/ASSETS.md").read_text()
    return {row["path"]: row["digest"] for row in ROW.finditer(text)}


def test_the_assets_page_names_every_file() -> None:
    shipped = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).iterdir()}
    assert named().keys() == shipped


@pytest.mark.parametrize("path", sorted(named()))
def test_an_asset_is_the_one_that_is_named(path: str) -> None:
    assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == named()[path]


def test_a_damaged_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_files.SHA256, "face_detector.tflite", "0" * 64)
    with pytest.raises(RenderError) as refused:
        FaceFinder()
    assert refused.value.code == "model_unavailable"
