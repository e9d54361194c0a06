"""What is wrong with a request, gathered from several checks, so that one answer names all of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework.exceptions import ValidationError

from avatar_api.common.problems import FieldError, Problem, flatten, invalid


class Faults:
    """Collects the field errors of checks that don't need one another."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep what a check finds wrong with fields; any other problem ends the request at once."""
        try:
            yield
        except ValidationError as error:
            self.errors += flatten(error.detail)
        except Problem as problem:
            if not problem.errors:
                raise
            self.errors += problem.errors

    def refuse(self) -> None:
        """Raises: Problem: `validation_error` when anything was found."""
        if self.errors:
            raise invalid(*self.errors)
