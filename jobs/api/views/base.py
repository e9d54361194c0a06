"""What all views of jobs share: scopes, and the tenant's own jobs; and what views of signed addresses do."""

import re
from typing import Any

from django.urls import reverse
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.negotiation import AlwaysJson
from accounts.tenancy import TenantView
from avatar_api.common.ids import id_pattern
from avatar_api.common.problems import Problem
from avatar_api.common.tenant_queryset import TenantQuerySet
from jobs.models import Job
from jobs.presenters import job_query, job_resource, signed_urls

JOB_ID = re.compile(id_pattern("job"))


class JobsView(TenantView):
    """What all views of jobs share: scopes, and the tenant's own jobs."""

    required_scope = {"GET": "jobs:read", "POST": "jobs:write", "PATCH": "jobs:write", "DELETE": "jobs:write"}

    def jobs(self) -> TenantQuerySet[Job]:
        return Job.objects.for_organization(self.tenant.organization, livemode=self.tenant.livemode)

    def job(self, job_id: str) -> Job:
        """Raises: Problem: `not_found` for an id that never was and for a stranger's alike."""
        job = job_query.find(job_id if JOB_ID.fullmatch(job_id) else "", self.tenant)
        if job is None:
            raise Problem("not_found")
        return job

    def answer(self, job: Job, status: int = 200) -> Response:
        return Response(job_resource.present(job, signed_urls.base_url(self.request)), status=status)

    def accepted(self, job: Job, *, replayed: bool = False) -> Response:
        """The answer to a request that made a job."""
        response = self.answer(job, status=202)
        response["Location"] = reverse("job", kwargs={"job_id": job.id})
        if replayed:
            response["Idempotent-Replayed"] = "true"
        return response


class SignedView(APIView):
    """A view for whoever holds a signed address: without a key, for a script of any page, and for players."""

    authentication_classes = ()
    content_negotiation_class = AlwaysJson
    permission_classes = ()
    http_method_names = ["get", "head"]

    @property
    def default_response_headers(self) -> dict[str, str]:
        """A player on a customer's page reads every answer, so that it knows why there is nothing to play."""
        return {**super().default_response_headers, "Access-Control-Allow-Origin": "*"}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """There is one form of a file and one of a problem, whatever a player says that it accepts."""
        renderer = JSONRenderer()
        return renderer, renderer.media_type
