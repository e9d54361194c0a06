"""What all views of jobs share: scopes, and the tenant's own jobs."""

import re

from django.urls import reverse
from rest_framework.response import Response

from accounts.tenancy import TenantView
from avatar_api.common.ids import id_pattern
from avatar_api.common.problems import Problem
from jobs import links, lookup, resources
from jobs.models import Job, JobQuerySet
from jobs.serializers import JOB

JOB_ID = re.compile(id_pattern("job"))


class JobsView(TenantView):
    """What all views of jobs share: scopes, and the tenant's own jobs."""

    required_scope = {"GET": "jobs:read", "POST": "jobs:write", "DELETE": "jobs:write"}

    def jobs(self) -> JobQuerySet:
        return Job.objects.for_organization(self.tenant.organization, livemode=self.tenant.livemode)

    def job(self, job_id: str) -> Job:
        """Raises: Problem: `not_found` for an id that never was and for a stranger's alike."""
        job = lookup.find(job_id if JOB_ID.fullmatch(job_id) else "", self.tenant)
        if job is None:
            raise Problem("not_found")
        return job

    def answer(self, job: Job, status: int = 200) -> Response:
        shown = resources.present(job, links.base_url(self.request))
        return Response(JOB.to_representation(shown), status=status)

    def accepted(self, job: Job, *, replayed: bool = False) -> Response:
        """The answer to a request that made a job."""
        response = self.answer(job, status=202)
        response["Location"] = reverse("job", kwargs={"job_id": job.id})
        if replayed:
            response["Idempotent-Replayed"] = "true"
        return response
