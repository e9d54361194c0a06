"""Fields of requests that have rules of their own."""

from typing import Any

from rest_framework import serializers

from avatar_api.common import outbound
from avatar_api.common.fields import StrictCharField
from gpu_worker.contract.error_codes import JOB_ERROR_CODES
from gpu_worker.contract.spec import SLOW
from jobs.intake.sources import InAsset, Inline, Remote, SourceError, read_url


class MetadataField(serializers.DictField):
    """At most 16 pairs of text: keys up to 40, values up to 500 characters, 8 kB together."""

    default_error_messages = {
        "not_a_dict": "Must be a JSON object.",
        "simulation": "In test mode, must be one of {known}.",
        "too_many": "At most 16 pairs are allowed.",
        "too_long": "Keys must have 1 to 40 characters, and all pairs together at most 8 kB.",
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
        if self.context.get("livemode") is False:
            self.refuse_unknown_simulation(pairs)
        return pairs

    def refuse_unknown_simulation(self, pairs: dict[str, str]) -> None:
        """A test that asks for a failure which never comes would pass for the wrong reason."""
        known = {*JOB_ERROR_CODES, SLOW}
        if pairs.get("simulate", SLOW) not in known:
            detail = self.error_messages["simulation"].format(known=", ".join(sorted(known)))
            raise serializers.ValidationError({"simulate": detail})


class WebhookUrlField(StrictCharField):
    """An address that webhooks may be sent to: where a name leads is checked when something is sent."""

    default_error_messages = {
        "credentials": "URLs with a user name or password are not accepted; messages are signed instead.",
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=outbound.MAX_URL, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        url = super().to_internal_value(data)
        try:
            target = outbound.check_when_set(url)
        except outbound.InvalidUrlError as error:
            raise serializers.ValidationError(str(error), "invalid") from error
        except outbound.ForbiddenAddressError as error:
            raise serializers.ValidationError(str(error), "private_address") from error
        if target.authorization is not None:
            self.fail("credentials")
        return url


class FileUrlField(StrictCharField):
    """An https address, or a `data:` URI of at most 5 MB."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        return self.source_of(value) if isinstance(value, str) else value

    def source_of(self, value: str) -> Inline | Remote:
        try:
            return read_url(value)
        except SourceError as error:
            raise serializers.ValidationError(error.detail, error.code) from error


class AssetIdField(StrictCharField):
    """The id of an asset; whether it exists is checked later."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, max_length=255, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        return InAsset(value) if isinstance(value, str) else value
