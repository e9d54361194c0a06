"""Forms of the admin: keys, plans, and overrides of limits."""

import ipaddress
import uuid
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
)

from accounts.models import ApiKey, Organization, Plan, User
from accounts.scopes import Scope
from accounts.serializers import MAX_OVERLAP_SECONDS
from accounts.services import TooManyKeysError, refuse_too_many_keys, scopes_of
from avatar_api.common.choices import Choices, preset_choices, resolution_choices

EXPLANATIONS = {
    "create_per_minute": "Requests that create something, of each key and of all keys together.",
    "read_per_minute": "All other requests, of each key and of all keys together.",
    "concurrent_jobs": "Jobs rendered at once; the others wait.",
    "queued_jobs": "Jobs that may wait. Further ones are refused with 429.",
    "video_seconds_per_month": "Seconds of video in a calendar month (UTC). Test mode doesn't count.",
    "max_speech_seconds": "Longest speech of one job.",
    "max_upload_bytes": "Largest file. 104857600 are 100 MiB.",
    "resolutions": "Those a job may ask for. A job that names none gets the best of them.",
    "presets": "Those a job may ask for. A job that names none gets fast, or the first of them.",
    "retention_seconds": "How long files are kept after a job's end. 21600 are 6 hours. "
    "Run storage_setup before you raise it above 12 hours.",
    "price_per_video_second_usd": "Before the factors of preset and resolution. Jobs keep the price at which "
    "they were created.",
    "weight": "Share of the workers: 3 gets three times the time of 1 while both have jobs waiting.",
    "active_keys": "API keys that work at once, in each mode.",
    "open_assets": "Uploads that wait to be used, in each mode.",
    "open_asset_bytes": "Their sizes together.",
    "open_streams": "Event streams and requests that wait for a job's end, at once.",
    "open_uploads": "Large request bodies that arrive at once.",
    "consent_required": "Refuse jobs that don't say whose likeness they show and who allowed it.",
}
"""What each limit does, shown beside its field."""


class NetworksField(forms.CharField):
    """Addresses and networks, one a line."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            label="Allowed addresses",
            help_text="Networks in CIDR notation, one per line. Leave empty to allow any address.",
            widget=UnfoldAdminTextareaWidget({"rows": 3}),
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = [line.strip() for line in (super().clean(value) or "").splitlines() if line.strip()]
        return [self.network(line) for line in lines]

    def network(self, text: str) -> str:
        try:
            return str(ipaddress.ip_network(text))
        except ValueError as error:
            raise forms.ValidationError(f"{text} is not a network such as 203.0.113.0/24.") from error


class OverrideField(forms.MultipleChoiceField):
    """A choice of several; none means: as the plan says."""

    def clean(self, value: Any) -> Any:
        return super().clean(value) or None


def several(choices: Choices) -> forms.Field:
    return forms.MultipleChoiceField(choices=choices, widget=UnfoldAdminCheckboxSelectMultipleWidget)


def override(choices: Choices) -> forms.Field:
    return OverrideField(
        choices=choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        required=False,
        help_text="Leave all unticked to use the plan's setting.",
    )


class ExplainedForm(forms.ModelForm):
    """Says of each limit what it does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, explanation in EXPLANATIONS.items():
            if field := self.fields.get(name):
                field.help_text = f"{explanation} {field.help_text}".strip()


class PlanForm(ExplainedForm):
    resolutions = several(resolution_choices)
    presets = several(preset_choices)

    class Meta:
        model = Plan
        fields = "__all__"  # noqa: DJ007  (the admin page names them)


class OverridesForm(ExplainedForm):
    resolutions = override(resolution_choices)
    presets = override(preset_choices)


class OrganizationForm(OverridesForm):
    class Meta:
        model = Organization
        fields = "__all__"  # noqa: DJ007  (the admin page names them)


class ApiKeyForm(OverridesForm):
    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=UnfoldAdminCheckboxSelectMultipleWidget)
    allowed_ips = NetworksField()

    class Meta:
        model = ApiKey
        fields = "__all__"  # noqa: DJ007  (the admin page names them)


class OnceField(forms.UUIDField):
    """Names the form that was shown, so that it counts once however often a browser sends it."""

    def __init__(self) -> None:
        super().__init__(initial=uuid.uuid4, widget=forms.HiddenInput, label="")


class NewApiKeyForm(forms.ModelForm):
    """What a new key is to be; `maker`, set on the class for one request, is who asks."""

    maker: User

    mode = forms.ChoiceField(
        choices=[("test", "Test"), ("live", "Live")], initial="test", widget=UnfoldAdminRadioSelectWidget
    )
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=[Scope.JOBS_READ, Scope.JOBS_WRITE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    allowed_ips = NetworksField()
    form_id = OnceField()

    class Meta:
        model = ApiKey
        fields = ["organization", "name", "expires_at"]

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("The expiry time must be in the future.")
        return expires_at

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "organization" in cleaned and "scopes" in cleaned:
            beyond = set(cleaned["scopes"]) - scopes_of(self.maker, cleaned["organization"])
            if beyond:
                self.add_error(
                    "scopes", f"Your role in this organization does not include {', '.join(sorted(beyond))}."
                )
        if "organization" in cleaned and "mode" in cleaned:
            try:
                refuse_too_many_keys(cleaned["organization"], livemode=cleaned["mode"] == "live")
            except TooManyKeysError as error:
                self.add_error(None, str(error))
        return cleaned


class RotationForm(forms.Form):
    form_id = OnceField()
    overlap_seconds = forms.IntegerField(
        label="Overlap in seconds",
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        initial=3600,
        help_text="How long the old key keeps working. 0 revokes it immediately.",
        widget=UnfoldAdminIntegerFieldWidget,
    )
