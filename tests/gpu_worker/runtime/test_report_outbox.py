"""Reports reach control late rather than never, once, and in order."""

import threading

import pytest
from redis import Redis

from avatar_api.embedded.valkey import Valkey
from gpu_worker.contract.queues import report_queue
from gpu_worker.contract.spec import RenderReport, ReportKind
from gpu_worker.runtime import report_outbox
from gpu_worker.runtime.report_outbox import Outbox
from gpu_worker.runtime.rq_worker import connect
from tests.gpu_worker.playing_control import TOKEN, Control


def window_report(windows_done: int) -> RenderReport:
    return RenderReport("job_1", 1, TOKEN, ReportKind.WINDOW, windows_done, gpu_seconds=1.5)


def test_reports_written_while_redis_is_away_arrive_in_order(control: Control, valkey: Valkey) -> None:
    outbox = Outbox(connect(control.redis_url))
    valkey.__exit__()
    for windows_done in (1, 2, 3):
        outbox.put(window_report(windows_done))
    assert not outbox.flush(0.1)
    with valkey:
        assert outbox.flush(120)
        assert [report.windows_done for report in control.reports()] == [1, 2, 3]


def test_a_render_waits_rather_than_pile_up_reports_without_end(
    control: Control, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_outbox, "CAPACITY", 2)
    outbox = Outbox(connect(control.redis_url))
    valkey.__exit__()
    outbox.put(window_report(1))
    outbox.put(window_report(2))
    third = threading.Thread(target=outbox.put, args=[window_report(3)])
    third.start()
    third.join(0.1)
    assert third.is_alive()
    with valkey:
        third.join(120)
        assert outbox.flush(120)
        assert [report.windows_done for report in control.reports()] == [1, 2, 3]


def test_a_report_sent_again_after_a_lost_answer_counts_once(control: Control) -> None:
    redis: Redis = connect(control.redis_url)
    report_outbox.send(redis, window_report(1))
    report_outbox.send(redis, window_report(1))
    assert len(control.reports()) == 1


def test_the_queue_shows_no_token_in_a_job_s_description(control: Control) -> None:
    report_outbox.send(connect(control.redis_url), window_report(1))
    (job,) = report_queue(control.redis).get_jobs()
    assert job.description == "job_1-1-window-1"
