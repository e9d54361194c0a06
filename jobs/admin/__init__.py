"""The admin of jobs, webhooks and usage: what staff sees of its own, and what can be done about it."""

from jobs.admin import jobs, overview, take_down, usage, webhooks

__all__ = ["jobs", "overview", "take_down", "usage", "webhooks"]
