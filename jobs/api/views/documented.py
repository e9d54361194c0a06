"""Parameters and answers of the jobs API as its OpenAPI document tells them."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer

from jobs.presenters import job_resource
from jobs.presenters.serializers import EstimateSerializer, JobSerializer
from jobs.states import Status

# What only a request that makes a job can be refused for.
REFUSALS = ("not_in_plan", "quota_exceeded", "queue_full")

VALIDATE_ONLY = OpenApiParameter(
    "validate_only",
    OpenApiTypes.BOOL,
    default=False,
    description="Validate and estimate only, without queueing a job; responds with 200 and an estimate.",
)
VARIANT = OpenApiParameter(
    "variant",
    enum=[*job_resource.VARIANTS, *job_resource.SPEECH_VARIANTS],
    default="video",
    description="The video, a picture of it, or the speech as it is kept with the job (FLAC).",
)
FILTERS = [
    OpenApiParameter(
        "status",
        {"type": "array", "items": {"type": "string", "enum": Status.values}},
        explode=True,
        description="Only jobs in this state; several mean any of them.",
    ),
    OpenApiParameter(
        "created_after",
        OpenApiTypes.DATETIME,
        description="Only jobs created at or after this time (with time zone).",
    ),
    OpenApiParameter(
        "created_before",
        OpenApiTypes.DATETIME,
        description="Only jobs created before this time (with time zone).",
    ),
    OpenApiParameter(
        "metadata",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="deepObject",
        explode=True,
        description="Only jobs with these pairs: `metadata[order]=17`.",
    ),
]
ENDED_OR_ESTIMATED = OpenApiResponse(
    PolymorphicProxySerializer(
        component_name="JobOrEstimate",
        serializers=[JobSerializer, EstimateSerializer],
        resource_type_field_name=None,
    ),
    "With `Prefer: wait`, the job once it has ended; with `validate_only`, an estimate.",
)
