from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from avatar_api.common import health
        from gpu_worker.contract import reading
        from jobs import checks, counters  # noqa: F401  (the checks register themselves)
        from jobs.intake.speech import checks as speech_checks  # noqa: F401
        from jobs.scheduling.autoscaling import status

        reading.on_dropped[:] = [counters.dropped.add]
        health.DETAILS["runpod"] = status.detail
