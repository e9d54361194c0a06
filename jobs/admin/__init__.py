"""The admin of jobs and webhooks: what staff sees of its own, and what can be done about it."""

from jobs.admin import jobs, webhooks

__all__ = ["jobs", "webhooks"]
