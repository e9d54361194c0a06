"""Query parameters that all views read in the same way."""

from django.http import QueryDict

from avatar_api.common.problems import FieldError, invalid


def refuse_unknown(params: QueryDict, known: set[str]) -> None:
    """Raises: Problem: `validation_error` naming the parameters that the view doesn't know."""
    unknown = sorted(params.keys() - known)
    if unknown:
        raise invalid(*(FieldError(name, "unknown", "This parameter is unknown.") for name in unknown))
