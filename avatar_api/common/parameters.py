"""Query parameters that all views read in the same way."""

from django.http import QueryDict

from avatar_api.common.problems import FieldError, invalid

# DRF's, for people; a program gets JSON whatever it says.
NEGOTIATED = "format"


def refuse_unknown(params: QueryDict, known: set[str]) -> None:
    """Raises: Problem: `validation_error` naming the parameters that the view doesn't know."""
    unknown = sorted(params.keys() - known - {NEGOTIATED})
    if unknown:
        raise invalid(*(FieldError(name, "unknown", "This parameter is unknown.") for name in unknown))


def read_flag(params: QueryDict, name: str) -> bool:
    """Raises: Problem: `validation_error` for anything but `true` and `false`."""
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise invalid(FieldError(name, "invalid", "Must be true or false."))
    return value == "true"
