"""What follows a commit, and must neither undo it nor fail whoever made it."""

from collections.abc import Callable

from django.db import transaction


def after_commit(action: Callable[[], object]) -> None:
    """Call `action` once the transaction at work is committed; what goes wrong there is logged.

    Django's log entry names the function by its `__qualname__`, which a partial doesn't have: the entry
    would raise, and take with it all that was to follow and the caller, whose transaction is done.
    """

    def follow_up() -> None:
        action()

    transaction.on_commit(follow_up, robust=True)
