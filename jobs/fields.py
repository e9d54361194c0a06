"""The field of a job's metadata."""

from typing import Any

from rest_framework import serializers

from avatar_api.common.fields import StrictCharField


class MetadataField(serializers.DictField):
    """At most 16 pairs of text: keys up to 40, values up to 500 characters, 8 kB together."""

    default_error_messages = {
        "too_many": "At most 16 pairs are kept.",
        "too_long": "Keys may have 1 to 40 characters, and all together 8 kB.",
    }
    child = StrictCharField(max_length=500, allow_blank=True, trim_whitespace=False)
    MAX_PAIRS = 16
    MAX_KEY = 40
    MAX_BYTES = 8192

    def to_internal_value(self, data: Any) -> dict[str, str]:
        pairs: dict[str, str] = super().to_internal_value(data)
        if len(pairs) > self.MAX_PAIRS:
            self.fail("too_many")
        size = sum(len(key.encode()) + len(value.encode()) for key, value in pairs.items())
        if size > self.MAX_BYTES or not all(
            1 <= len(key) <= self.MAX_KEY and "\x00" not in key for key in pairs
        ):
            self.fail("too_long")
        return pairs
