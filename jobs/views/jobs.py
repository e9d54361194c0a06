"""The jobs API: validate, call one service, serialize."""

from django.http import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from avatar_api.common.ids import id_pattern
from avatar_api.common.pagination import page_of
from avatar_api.common.problems import FieldError, Problem, invalid
from jobs import resources, services
from jobs.models import JobQuerySet
from jobs.multipart import read_form
from jobs.requests import JobRequestSerializer
from jobs.serializers import JobPageSerializer, JobSerializer
from jobs.states import Status
from jobs.views.base import JobsView

# The reference and two speakers.
FILES_PER_JOB = 3


class JobListView(JobsView):
    """All jobs of the key's organization and mode, and the place to ask for new ones."""

    parser_classes = (MultiPartParser,)

    @extend_schema(request=JobRequestSerializer, responses={202: JobSerializer})
    def post(self, request: Request) -> Response:
        """Ask for a video. The answer is a job that is queued."""
        self.refuse_too_large(request)
        form = JobRequestSerializer(data=read_form(request.data))
        form.is_valid(raise_exception=True)
        job = services.create_job(tenant=self.tenant, asked=form.asked())
        response = self.answer(job, status=202)
        response["Location"] = reverse("job", kwargs={"job_id": job.id})
        return response

    def refuse_too_large(self, request: Request) -> None:
        """Look at the announced size before the first byte of the body is read."""
        allowed = FILES_PER_JOB * self.tenant.limits.max_upload_bytes
        if int(request.META.get("CONTENT_LENGTH") or 0) > allowed:
            raise Problem("payload_too_large", f"The plan's limit is {allowed} bytes for all files of a job.")

    @extend_schema(responses=JobPageSerializer)
    def get(self, request: Request) -> Response:
        """The jobs, newest first."""
        page = page_of(self.filtered_jobs(request), request.query_params, id_pattern("job"))
        rows = resources.present_all(page.rows, request)
        return Response(JobPageSerializer({"data": rows, "next_cursor": page.next_cursor}).data)

    def filtered_jobs(self, request: Request) -> JobQuerySet:
        status = request.query_params.get("status")
        if status is None:
            return self.jobs()
        if status not in Status.values:
            raise invalid(FieldError("status", "invalid", f"One of {', '.join(Status.values)} is expected."))
        return self.jobs().filter(status=status)


class JobView(JobsView):
    @extend_schema(responses=JobSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """One job, with its live progress."""
        return self.answer(self.job(job_id))


class JobContentView(JobsView):
    @extend_schema(responses={302: None})
    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Redirect to the video, or with `variant=thumbnail` to its picture."""
        variant = request.query_params.get("variant", "video")
        if variant not in resources.VARIANTS:
            raise invalid(FieldError("variant", "invalid", "Either video or thumbnail is expected."))
        job = self.job(job_id)
        if job.status != Status.SUCCEEDED:
            raise Problem("conflict", f"There is no video: the job is {job.status}.")
        if job.expired:
            raise Problem("expired")
        return Response(status=302, headers={"Location": resources.content_url(job, variant, request)})


class JobCancelView(JobsView):
    @extend_schema(request=None, responses={202: JobSerializer, 200: JobSerializer})
    def post(self, request: Request, job_id: str) -> Response:
        """Cancel a job: a queued one ends at once, a running one within a step."""
        job = self.job(job_id)
        was_canceled = job.status == Status.CANCELED
        return self.answer(services.cancel_job(job=job), status=200 if was_canceled else 202)
