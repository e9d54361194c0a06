"""An attempt goes on after the windows of those before it."""

import numpy as np

from gpu_worker import tasks
from gpu_worker.contract import storage_keys
from gpu_worker.contract.spec import ReportKind
from gpu_worker.engines.preview import PreviewEngine
from gpu_worker.runtime.context import WorkerContext
from tests.gpu_worker.playing_control import Control
from tests.gpu_worker.preview_jobs import DRAWING


def test_an_engine_that_leaves_no_state_goes_on_behind_a_finished_window(
    worker: WorkerContext, control: Control
) -> None:
    worker.engine = PreviewEngine()
    drawing = control.store_input("drawing.png", DRAWING.read_bytes())
    first = control.spec(seconds=3.6, reference=drawing)
    tasks.render(first.to_dict())
    control.wait_for(ReportKind.SUCCEEDED)
    assert not control.storage.exists(storage_keys.window_state(first.prefix, 0))
    control.forget_reports()

    second = control.spec(2, seconds=3.6, reference=drawing, resume=control.after(first, windows=1))
    tasks.render(second.to_dict())

    assert control.wait_for(ReportKind.SUCCEEDED).windows_done == 2
    assert np.array_equal(control.decoded(second), control.decoded(first))
