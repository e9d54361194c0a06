"""Serializer fields of the whole API.

They take a value as it is or refuse it: `"7"` is no integer, `7` no text.
"""

from datetime import datetime
from typing import Any, cast

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from avatar_api.common.times import EXPECTED, TimeError, read_time, write_time


class HalfCharacterValidator(ProhibitSurrogateCharactersValidator):
    """Looks for the character in question only in a text that holds one: a `data:` URI has millions."""

    def __call__(self, value: str) -> None:
        try:
            value.encode()
        except UnicodeEncodeError:
            super().__call__(value)


class StrictCharField(serializers.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        inherited = ProhibitSurrogateCharactersValidator()
        self.validators[self.validators.index(inherited)] = HalfCharacterValidator()

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """JSON has one kind of number, so `7.0` is the integer 7, as JSON Schema says it; `7.5` is none."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is float and data.is_integer():
            data = int(data)
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictFloatField(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if type(data) not in (int, float):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictBooleanField(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictChoiceField(serializers.ChoiceField):
    """One of a few words, which a refusal lists."""

    default_error_messages = {"invalid_choice": "Must be one of {choices}."}

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", choices=", ".join(self.choices))
        return super().to_internal_value(data)


class StrictSerializer(serializers.Serializer):
    """Names the fields that it doesn't know, instead of passing over them."""

    default_error_messages = {"invalid": "Must be a JSON object."}

    def to_internal_value(self, data: Any) -> Any:
        unknown = set(data) - set(self.fields) if isinstance(data, dict) else set()
        faults = dict.fromkeys(sorted(unknown), ErrorDetail("This field is unknown.", "unknown"))
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError({**cast("dict[str, Any]", error.detail), **faults}) from error
        if faults:
            raise serializers.ValidationError(faults)
        return value


class StrictListField(serializers.ListField):
    default_error_messages = {"not_a_list": "Must be a JSON array."}


class StrictTimeField(serializers.DateTimeField):
    """A time that comes in: text with an offset."""

    default_error_messages = {"invalid": EXPECTED}

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("invalid")
        try:
            return read_time(value)
        except TimeError:
            self.fail("invalid")


class TimestampField(serializers.DateTimeField):
    """RFC 3339 in UTC with milliseconds, such as `2026-11-21T18:27:27.378Z`."""

    def to_representation(self, value: datetime) -> str:
        return write_time(value)
