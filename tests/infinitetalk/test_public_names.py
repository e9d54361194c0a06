import subprocess
import sys
from pathlib import Path

import InfiniteTalk


def test_every_public_name_can_be_imported_from_the_package() -> None:
    for name in InfiniteTalk.__all__:
        assert getattr(InfiniteTalk, name).__name__ == name
    assert set(InfiniteTalk.__all__) == set(InfiniteTalk._MODULES)


def test_the_package_alone_loads_no_model_library() -> None:
    check = "import sys, InfiniteTalk; assert not {'torch', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(__file__).parents[2])
