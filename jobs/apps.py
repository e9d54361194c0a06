from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from avatar_api.common import health
        from jobs import checks  # noqa: F401  (registers them)
        from jobs.scheduling.autoscaling import status

        health.DETAILS["runpod"] = status.detail
