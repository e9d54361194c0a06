"""The JSON of answers."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, get_type_hints

from django.templatetags.static import static
from rest_framework import serializers

from accounts.limits import INTERNAL, LIMIT_NAMES, Limits
from avatar_api.common.fields import TimestampField
from gpu_worker.contract.error_codes import ERROR_CODES, JOB_ERROR_CODES
from jobs.intake.speech.voices import Voice
from jobs.presenters.input_serializers import JobInputSerializer, JobReceiptSerializer
from jobs.states import Stage, Status

ERROR_CHOICES = [(code, ERROR_CODES[code].title) for code in JOB_ERROR_CODES]


class SortedListField(serializers.ListField):
    """A set of names, in alphabetical order."""

    child = serializers.CharField()

    def to_representation(self, data: Iterable[str]) -> list[str]:
        return sorted(data)


class WindowSerializer(serializers.Serializer):
    current = serializers.IntegerField()
    total = serializers.IntegerField()


class OutputSerializer(serializers.Serializer):
    url = serializers.URLField(help_text="Signed again on each read; valid for an hour without an API key.")
    content_type = serializers.CharField()
    duration_seconds = serializers.FloatField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    fps = serializers.IntegerField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    thumbnail_url = serializers.URLField()


class JobErrorSerializer(serializers.Serializer):
    code = serializers.ChoiceField(choices=ERROR_CHOICES)
    detail = serializers.CharField()
    retryable = serializers.BooleanField()


class UsageSerializer(serializers.Serializer):
    gpu_seconds = serializers.FloatField()
    video_seconds = serializers.FloatField()
    cost_usd = serializers.CharField()


class JobSerializer(serializers.Serializer):
    """A job: what was requested, where it stands, and its result."""

    # `job_resource` makes just these fields; here they are described for the document.

    id = serializers.CharField()
    object = serializers.CharField()
    status = serializers.ChoiceField(choices=Status.choices)
    stage = serializers.ChoiceField(choices=Stage.choices, allow_null=True)
    progress = serializers.IntegerField(help_text="0–100")
    window = WindowSerializer()
    queue_position = serializers.IntegerField(
        allow_null=True,
        help_text="Its place among the jobs that no worker has begun, in the order in which they are sent; "
        "jobs still to come may be sent before. Null while files are fetched and once a worker has it.",
    )
    eta_seconds = serializers.FloatField(
        allow_null=True,
        help_text="Until the end, if no other jobs arrive. Null without a worker or while files are fetched.",
    )
    livemode = serializers.BooleanField()
    input = JobInputSerializer()
    stream_url = serializers.URLField(
        allow_null=True,
        help_text="An HLS playlist, from the first finished window on: it grows while the job renders, works "
        "without a key for a day, and goes with the files.",
    )
    output = OutputSerializer(allow_null=True)
    error = JobErrorSerializer(allow_null=True)
    usage = UsageSerializer()
    receipt = JobReceiptSerializer(allow_null=True)
    retry_of = serializers.CharField(allow_null=True)
    metadata = serializers.DictField(child=serializers.CharField())
    created_at = TimestampField()
    started_at = TimestampField(allow_null=True)
    finished_at = TimestampField(allow_null=True)
    expires_at = TimestampField(allow_null=True)
    expired = serializers.BooleanField()


class JobPageSerializer(serializers.Serializer):
    data = JobSerializer(many=True)  # type: ignore[assignment]  # A field of that name hides a property.
    next_cursor = serializers.CharField(allow_null=True)


class NoticeSerializer(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField()


class FaceSerializer(serializers.Serializer):
    """A face; fractions of the picture's width and height, from its top left."""

    x = serializers.FloatField()
    y = serializers.FloatField()
    width = serializers.FloatField()
    height = serializers.FloatField()
    speaks = serializers.BooleanField(help_text="Whether it is seen enough from the front to be a speaker.")


class EstimateSerializer(serializers.Serializer):
    """What a job would take and cost, without creating it."""

    object = serializers.CharField()
    livemode = serializers.BooleanField()
    input = JobInputSerializer(help_text="As a job would present it.")
    duration_seconds = serializers.FloatField()
    windows = serializers.IntegerField()
    estimated_seconds = serializers.FloatField(help_text="From the start of rendering to its end.")
    estimated_cost_usd = serializers.CharField()
    queue_position = serializers.IntegerField(
        allow_null=True, help_text="The place that the job would have if it came now."
    )
    eta_seconds = serializers.FloatField(
        allow_null=True,
        help_text="Until it would have ended, the time that it waits included. Null without a worker.",
    )
    cheaper_preset = serializers.CharField(
        allow_null=True,
        help_text="The cheapest preset that plan and request allow, if it costs less.",
    )
    faces = FaceSerializer(
        many=True, help_text="Those in the picture, or in the video's first frame, largest first."
    )
    warnings = NoticeSerializer(many=True)


class VoiceSerializer(serializers.Serializer):
    """What can say a text."""

    object = serializers.CharField(default="voice")
    id = serializers.CharField()
    language = serializers.CharField(help_text="A BCP 47 tag, such as en-US.")
    gender = serializers.ChoiceField(choices=["female", "male"])
    engine = serializers.CharField(help_text="`espeak` sounds like a machine.")
    sample_url = serializers.SerializerMethodField(
        help_text="Some seconds of it (MP3); null where there are none."
    )

    def get_sample_url(self, voice: Voice) -> str | None:
        return self.context["base_url"] + static(voice.sample) if voice.sample else None


class VoiceListSerializer(serializers.Serializer):
    data = VoiceSerializer(many=True)  # type: ignore[assignment]  # A field of that name hides a property.


class UploadSerializer(serializers.Serializer):
    """One request that sends a file to the store."""

    method = serializers.CharField()
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField(), help_text="To be sent exactly as given.")


class AssetSerializer(serializers.Serializer):
    """A file that is uploaded before the jobs that use it."""

    id = serializers.CharField()
    object = serializers.CharField()
    livemode = serializers.BooleanField()
    content_type = serializers.CharField()
    size_bytes = serializers.IntegerField()
    filename = serializers.CharField(allow_blank=True)
    uploaded = serializers.BooleanField()
    upload = UploadSerializer(
        allow_null=True, help_text="In the response to POST, until the file has been uploaded."
    )
    created_at = TimestampField()
    expires_at = TimestampField()


FIELD_OF_TYPE: dict[Any, type[serializers.Field]] = {
    int: serializers.IntegerField,
    bool: serializers.BooleanField,
    frozenset[str]: SortedListField,
    Decimal: serializers.CharField,
}


class AssetPageSerializer(serializers.Serializer):
    data = AssetSerializer(many=True)  # type: ignore[assignment]  # A field of that name hides a property.
    next_cursor = serializers.CharField(allow_null=True)


class LimitsSerializer(serializers.Serializer):
    """The limits that hold: plan, organization and key taken together."""

    def get_fields(self) -> dict[str, serializers.Field]:
        types = get_type_hints(Limits)
        return {name: FIELD_OF_TYPE[types[name]]() for name in LIMIT_NAMES if name not in INTERNAL}


class LeftSerializer(serializers.Serializer):
    concurrent_jobs = serializers.IntegerField()
    queued_jobs = serializers.IntegerField()
    video_seconds_this_month = serializers.FloatField(allow_null=True)
    active_keys = serializers.IntegerField()
    open_assets = serializers.IntegerField()
    open_asset_bytes = serializers.IntegerField()


class PlanSerializer(serializers.Serializer):
    code = serializers.CharField()
    name = serializers.CharField()
    limits = LimitsSerializer()
    left = LeftSerializer()


class OrganizationSerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()


class KeySerializer(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    mode = serializers.ChoiceField(choices=["live", "test"])
    scopes = serializers.ListField(child=serializers.CharField())
    expires_at = TimestampField(allow_null=True)


class MeSerializer(serializers.Serializer):
    """The caller: its organization, key, plan and limits."""

    object = serializers.CharField()
    livemode = serializers.BooleanField()
    organization = OrganizationSerializer()
    key = KeySerializer(allow_null=True)
    plan = PlanSerializer()


class UsageRowSerializer(serializers.Serializer):
    day = serializers.DateField(allow_null=True, help_text="When grouped by day.")
    key_id = serializers.CharField(
        allow_null=True, help_text="When grouped by key; null for jobs created by people and by deleted keys."
    )
    jobs = serializers.IntegerField()
    video_seconds = serializers.FloatField()
    gpu_seconds = serializers.FloatField()
    cost_usd = serializers.CharField()


class UsageReportSerializer(serializers.Serializer):
    """Usage of a period; its days are inclusive and in UTC."""

    object = serializers.CharField()
    start = serializers.DateField()
    end = serializers.DateField()
    group_by = serializers.ChoiceField(choices=["day", "key"])
    data = UsageRowSerializer(many=True)  # type: ignore[assignment]  # As above.
    total = UsageRowSerializer()
