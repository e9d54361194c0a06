"""The jobs API: validate, call one service, serialize."""

from functools import partial
from typing import cast

from django.http import HttpResponseBase, QueryDict
from drf_spectacular.utils import OpenApiResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response

from accounts import idempotency
from accounts.negotiation import AlwaysJson
from avatar_api.common.compiled_queries import fetch_list
from avatar_api.common.faults import Faults
from avatar_api.common.ids import id_pattern
from avatar_api.common.multipart_parser import StrictMultiPartParser
from avatar_api.common.openapi import PAGE_PARAMETERS, operation
from avatar_api.common.pagination import Page, first_page, page_of
from avatar_api.common.parameters import read_flag, refuse_unknown
from avatar_api.common.problems import FieldError, Problem, invalid
from avatar_api.common.strict_json import MAX_BYTES, StrictJSONParser, object_of
from jobs.api.filters import filtered
from jobs.api.multipart import Form, read_form
from jobs.api.views.base import JobsView
from jobs.api.views.documented import ENDED_OR_ESTIMATED, FILTERS, REFUSALS, VALIDATE_ONLY, VARIANT
from jobs.intake.requests import (
    BrowsableJobForm,
    JobChangeSerializer,
    JobFormSerializer,
    JobRequest,
    JobRequestSerializer,
)
from jobs.intake.sources import MAX_DATA_URI_BYTES
from jobs.lifecycle import estimates, services
from jobs.models import Job
from jobs.presenters import etags, job_query, job_resource, signed_urls
from jobs.presenters.serializers import EstimateSerializer, JobPageSerializer, JobSerializer
from jobs.states import Status

# What Django's forms for people send beside their own fields.
CSRF_FIELD = "csrfmiddlewaretoken"
# The reference and two speakers.
FILES_PER_JOB = 3
REQUEST_SCHEMA = {"application/json": JobRequestSerializer, "multipart/form-data": JobFormSerializer}


class JobRequestView(JobsView):
    """What is common to asking for a job and asking what one would be."""

    parser_classes = [StrictJSONParser, StrictMultiPartParser]
    serializer_class = BrowsableJobForm
    max_json_bytes = FILES_PER_JOB * 4 * MAX_DATA_URI_BYTES // 3 + MAX_BYTES

    def body(self, request: Request) -> Form:
        """The fields as they came, by JSON or by a form."""
        if not is_form_media_type(request.content_type):
            return Form(object_of(request), [])
        if request.stream is None:
            raise Problem("parse_error", "The body is empty.")
        self.refuse_too_large(request)
        form = read_form(cast(QueryDict, request.data))
        if self.tenant.user is not None:
            form.fields.pop(CSRF_FIELD, None)
        return form

    def refuse_too_large(self, request: Request) -> None:
        """Look at the announced size before the first byte of the body is read."""
        allowed = FILES_PER_JOB * self.tenant.limits.max_upload_bytes
        if int(request.META.get("CONTENT_LENGTH") or 0) > allowed:
            raise Problem(
                "payload_too_large", f"The plan allows at most {allowed} bytes for all files of a job."
            )

    def job_request(self, body: Form) -> JobRequest:
        form = JobFormSerializer(data=body.fields, context={"livemode": self.tenant.livemode})
        faults = Faults()
        faults.errors += body.faults
        with faults.gathered():
            form.is_valid(raise_exception=True)
        faults.refuse()
        return form.to_job_request(self.tenant.limits)

    def estimated(self, body: Form) -> Response:
        estimate = estimates.estimate(tenant=self.tenant, job_request=self.job_request(body))
        # A plain dict: from one that knows its serializer the browsable API would make its form.
        return Response(dict(EstimateSerializer(estimate).data))


class JobListView(JobRequestView):
    """All jobs of the key's organization and mode, and the place to ask for new ones."""

    @operation(
        "create_job",
        raises=REFUSALS,
        accepts=["Prefer"],
        idempotent=True,
        headers={
            200: ["Preference-Applied"],
            202: ["Location", "Preference-Applied"],
        },
        request=REQUEST_SCHEMA,
        responses={202: JobSerializer, 200: ENDED_OR_ESTIMATED},
        parameters=[VALIDATE_ONLY],
    )
    def post(self, request: Request) -> Response:
        """Ask for a video. The answer is a job that is queued."""
        refuse_unknown(request.query_params, {"validate_only"})
        validate_only = read_flag(request.query_params, "validate_only")
        body = self.body(request)
        if validate_only:
            return self.estimated(body)
        idempotent = idempotency.request_of(request.headers.get(idempotency.HEADER), "jobs", body.fields)
        if idempotent and (claim := idempotency.replay(self.tenant, idempotent)):
            return self.accepted(self.job(claim.object_id), replayed=True)
        job_request = self.job_request(body)
        return self.accepted(
            services.create_job(tenant=self.tenant, job_request=job_request, idempotent=idempotent)
        )

    @operation("list_jobs", parameters=[*FILTERS, *PAGE_PARAMETERS], responses=JobPageSerializer)
    def get(self, request: Request) -> Response:
        """The jobs, newest first."""
        page = self.page(request.query_params)
        rows = job_resource.present_all(page.rows, signed_urls.base_url(request))
        return Response({"data": rows, "next_cursor": page.next_cursor})

    def page(self, params: QueryDict) -> Page[Job]:
        """Most clients ask for the newest jobs, whatever they are: the query for these is made once."""
        if params.keys() <= {"limit"}:
            return first_page(params, partial(job_query.newest, self.tenant))
        jobs, faults = self.jobs().defer(*job_query.UNSHOWN), Faults()
        with faults.gathered():
            jobs = filtered(jobs, params)
        with faults.gathered():
            page = page_of(jobs, params, id_pattern("job"), fetch_list)
        faults.refuse()
        return page


class EstimateView(JobRequestView):
    @operation(
        "create_estimate",
        raises=["not_in_plan", "concurrency_limited"],
        request=REQUEST_SCHEMA,
        responses={200: EstimateSerializer},
    )
    def post(self, request: Request) -> Response:
        """What a job would be, take and cost. Nothing is queued or kept."""
        refuse_unknown(request.query_params, set())
        return self.estimated(self.body(request))


class JobView(JobsView):
    @operation(
        "get_job",
        accepts=["If-None-Match"],
        headers={200: ["ETag"], 304: ["ETag"]},
        responses={200: JobSerializer, 304: None},
    )
    def get(self, request: Request, job_id: str) -> Response:
        """One job, with its live progress."""
        response = self.answer(self.job(job_id))
        if not isinstance(request.accepted_renderer, JSONRenderer):
            return response  # A browser would show the JSON that it has under this tag in place of the page.
        response["ETag"] = etag = etags.of_job(response.data)
        if etags.matches(request.headers.get("If-None-Match"), etag):
            return Response(status=304, headers={"ETag": etag})
        return response

    @operation("update_job", request=JobChangeSerializer, responses=JobSerializer)
    def patch(self, request: Request, job_id: str) -> Response:
        """Change the job's metadata, whatever its state."""
        job = self.job(job_id)
        form = JobChangeSerializer(data=object_of(request), context={"livemode": job.livemode})
        form.is_valid(raise_exception=True)
        return self.answer(services.change_metadata(job=job, **form.validated_data))

    @operation("delete_job", raises=["conflict"], responses={204: None})
    def delete(self, request: Request, job_id: str) -> Response:
        """Remove the job's files at once. The record stays; a queued job is canceled first."""
        services.delete_job(job=self.job(job_id))
        return Response(status=204)


class JobRetryView(JobsView):
    @operation(
        "retry_job",
        raises=[*REFUSALS, "conflict", "expired"],
        idempotent=True,
        headers={202: ["Location"]},
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Ask for the same video again, as a new job, while the inputs are kept."""
        job = self.job(job_id)
        idempotent = idempotency.request_of(request.headers.get(idempotency.HEADER), "retry", {"job": job.id})
        if idempotent and (claim := idempotency.replay(self.tenant, idempotent)):
            return self.accepted(self.job(claim.object_id), replayed=True)
        return self.accepted(services.retry_job(tenant=self.tenant, job=job, idempotent=idempotent))


class JobContentView(JobsView):
    content_negotiation_class = AlwaysJson

    @operation(
        "get_job_content",
        raises=["conflict", "expired"],
        headers={302: ["Location"]},
        parameters=[VARIANT],
        responses={302: None},
    )
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Redirect to the video; with `variant` to its picture, or to the speech, which is there earlier."""
        variant = request.query_params.get("variant", "video")
        known = [*job_resource.VARIANTS, *job_resource.SPEECH_VARIANTS]
        if variant not in known:
            raise invalid(FieldError("variant", "invalid", f"Must be one of {', '.join(known)}."))
        job = self.job(job_id)
        if variant in job_resource.SPEECH_VARIANTS:
            return self.speech(job, variant)
        if job.status != Status.SUCCEEDED:
            raise Problem("conflict", f"There is no video; the job is {job.status}.")
        if job.is_expired:
            raise Problem("expired")
        return Response(
            status=302,
            headers={"Location": job_resource.content_url(job, variant, signed_urls.base_url(request))},
        )

    def speech(self, job: Job, variant: str) -> Response:
        if job.is_expired:
            raise Problem("expired")
        number = job_resource.SPEECH_VARIANTS[variant]
        location = job_resource.speech_url(job, number, signed_urls.base_url(self.request))
        if location is None:
            raise Problem("conflict", f"There is no {variant}; the job is {job.status}.")
        return Response(status=302, headers={"Location": location})


class JobCancelView(JobsView):
    @operation(
        "cancel_job",
        raises=["conflict"],
        request=None,
        responses={202: JobSerializer, 200: OpenApiResponse(JobSerializer, "It was canceled before.")},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Cancel a job: a queued one ends at once, a running one within a step."""
        job = self.job(job_id)
        was_canceled = job.status == Status.CANCELED
        return self.answer(services.cancel_job(job=job), status=200 if was_canceled else 202)
