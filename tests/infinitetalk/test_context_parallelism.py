import os
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

from .golden_transformer import golden_model
from .parallel_process import PROCESSES, cases
from .recordings import error

ROOT = Path(__file__).parents[2]


def test_two_processes_predict_what_one_does(tmp_path: Path) -> None:
    outputs = [tmp_path / f"{rank}.safetensors" for rank in range(PROCESSES)]
    command = [sys.executable, "-m", "tests.infinitetalk.parallel_process"]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(tmp_path / "rendezvous"), str(output)],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, output in enumerate(outputs)
    ]
    try:
        for process in processes:
            _, complaint = process.communicate(timeout=280)
            assert process.returncode == 0, complaint
    finally:
        for process in processes:
            process.kill()

    alone = dict(cases(golden_model()))
    for output in outputs:
        together = load_file(output)
        assert set(together) == set(alone)
        for name, velocity in alone.items():
            assert error(together[name], velocity) <= 1e-5, name
