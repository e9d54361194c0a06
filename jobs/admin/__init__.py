"""The admin of jobs: what staff sees of its own, and what operators can do about it."""

from jobs.admin import jobs

__all__ = ["jobs"]
