"""A multipart form as the JSON object that it stands for.

Everything in a form is text. Numbers are read as such, `metadata`, `speaker_boxes`, `crop`, `script`
and `consent` are one part of JSON each, and `metadata[key]=value` parts work too.
"""

import re
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from avatar_api.common import strict_json
from avatar_api.common.faults import Faults
from avatar_api.common.problems import FieldError, invalid

JSON_PARTS = ("metadata", "speaker_boxes", "crop", "script", "consent")
METADATA_PART = re.compile(r"metadata\[(.*)\]", re.DOTALL)
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")


@dataclass(frozen=True)
class Form:
    """The fields of a form, and what is wrong with the parts themselves."""

    fields: dict[str, Any]
    faults: list[FieldError]


def read_form(form: QueryDict) -> Form:
    """The form's parts by name, each once; of one that came several times, the last."""
    faults = Faults()
    for name, sent in form.lists():
        if len(sent) > 1:
            faults.errors.append(FieldError(name, "duplicate", "This part occurs more than once."))
    values: dict[str, Any] = {}
    for name in form:
        with faults.gathered():
            values[name] = _value(name, form[name])
    with faults.gathered():
        values = _with_metadata(values)
    return Form(values, faults.errors)


def _value(name: str, value: Any) -> Any:
    if name in JSON_PARTS and isinstance(value, str):
        try:
            return strict_json.loads(value)
        except (ValueError, RecursionError) as error:
            raise invalid(FieldError(name, "invalid", "This part must be JSON.")) from error
    if name == "seed" and isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    return value


def _with_metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Raises: Problem: `validation_error` when metadata came in both forms."""
    pairs = {match.group(1): name for name in values if (match := METADATA_PART.fullmatch(name))}
    if not pairs:
        return values
    if "metadata" in values:
        raise invalid(
            FieldError("metadata", "duplicate", "Send one JSON part or metadata[key] parts, not both.")
        )
    rest = {name: value for name, value in values.items() if name not in pairs.values()}
    return rest | {"metadata": {key: values[name] for key, name in pairs.items()}}
