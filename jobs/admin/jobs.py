"""The admin of jobs: watch the video, read what happened, cancel and retry."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from accounts.admin.pages import confirm
from accounts.admin_filters import ModeFilter
from accounts.admin_scope import ScopedAdmin, is_operator
from accounts.limits import effective_limits
from accounts.models import User
from accounts.scopes import Scope
from accounts.tenant import Tenant
from avatar_api.common.problems import Problem
from jobs.lifecycle import services
from jobs.models import Job
from jobs.presenters import job_resource
from jobs.states import OPEN, Status


@admin.register(Job)
class JobAdmin(ScopedAdmin):
    """A job is made and changed by the API alone, so everything here is for reading."""

    staff_scopes = {"view": Scope.JOBS_READ.value}
    list_display = ["id", "organization", "shown_mode", "shown_status", "preset", "resolution", "created_at"]
    list_filter = ["status", ModeFilter, "engine", "preset", "resolution", "organization"]
    list_select_related = ["organization"]
    search_fields = ["=id"]
    ordering = ["-id"]
    show_full_result_count = False
    actions_detail = ["cancel", "retry"]
    FAILURE = ("Why it failed", {"fields": ["error_code", "error_detail"]})
    WATCH = (None, {"fields": ["video", ("shown_status", "shown_mode"), ("organization", "api_key")]})
    REQUEST = (
        "Request",
        {
            "fields": [
                ("engine", "preset"),
                ("resolution", "seed"),
                ("prompt", "negative_prompt"),
                ("speaking_order", "speaker_boxes"),
                ("audio_channels", "crop"),
                ("metadata", "retry_of"),
                "consent",
            ],
            "classes": ["tab"],
        },
    )
    WORK = (
        "The work",
        {
            "fields": [
                ("attempt", "losses"),
                ("windows", "shown_gpu_seconds"),
                ("charged_seconds", "shown_cost"),
                ("created_at", "started_at"),
                ("finished_at", "expires_at"),
                ("request_id", "traceparent"),
                "receipt",
            ],
            "classes": ["tab"],
        },
    )
    TIMELINE = ("Timeline", {"fields": ["timeline"], "classes": ["tab"]})
    fieldsets = [WATCH, REQUEST, WORK, TIMELINE]
    readonly_fields = [
        *("video", "shown_status", "shown_mode"),
        *("shown_gpu_seconds", "shown_cost", "timeline"),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> Any:
        """Of a failed job the reason comes first."""
        return [self.FAILURE, *self.fieldsets] if obj and obj.error_code else self.fieldsets

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The record stays; its files go with `DELETE /v1/jobs/<id>` or when their time is over."""
        return False

    @action(description="Cancel", icon="cancel")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = self.target(request, "cancel", object_id)
        if request.method != "POST":
            text = "A queued job is canceled immediately, a running one after the current step."
            return confirm(self, request, verb="Cancel", what=str(job), text=text)
        return self._done(request, job, lambda: services.cancel_job(job=job))

    @action(description="Retry", icon="replay")
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = self.target(request, "retry", object_id)
        if request.method != "POST":
            text = "A new job is created from the same inputs and charged to the organization."
            return confirm(self, request, verb="Retry", what=str(job), text=text)
        tenant = tenant_of(job, request)
        return self._done(request, job, lambda: services.retry_job(tenant=tenant, job=job))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """The button for what can be done; whoever only views jobs sees none."""
        if not is_operator(request):
            return []
        is_open = Job.objects.filter(pk=object_id, status__in=OPEN).exists()
        return [self.get_unfold_action("cancel" if is_open else "retry")]

    def _done(self, request: HttpRequest, job: Job, do: Any) -> HttpResponse:
        try:
            job = do()
        except Problem as problem:
            self.message_user(request, str(problem.detail), level="error")
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job.pk]))

    # Columns and panels

    @display(description="Mode", label={"live": "info", "test": "default"})
    def shown_mode(self, job: Job) -> str:
        return "live" if job.livemode else "test"

    @display(
        description="Status",
        label={
            Status.QUEUED: "default",
            Status.PROCESSING: "info",
            Status.SUCCEEDED: "success",
            Status.FAILED: "danger",
            Status.CANCELED: "warning",
        },
    )
    def shown_status(self, job: Job) -> str:
        return job.status

    @display(description="Video")
    def video(self, job: Job) -> SafeString:
        shown = job.status == Status.SUCCEEDED and not job.expired
        urls = (
            {name: job_resource.content_url(job, name, "") for name in job_resource.VARIANTS} if shown else {}
        )
        return render_to_string("jobs/admin/video.html", {"urls": urls, "job": job})

    @display(description="GPU seconds")
    def shown_gpu_seconds(self, job: Job) -> str:
        return f"{job.gpu_seconds + job.attempt_gpu_seconds:,.1f}"

    @display(description="Cost (USD)")
    def shown_cost(self, job: Job) -> str:
        return f"{job.cost_usd:f}"

    @display(description="Events")
    def timeline(self, job: Job) -> SafeString:
        return render_to_string("jobs/admin/timeline.html", {"events": job.events.all(), "job": job})


def tenant_of(job: Job, request: HttpRequest) -> Tenant:
    """The operator who acts for the job's organization, with that organization's limits."""
    assert isinstance(request.user, User)
    return Tenant(
        organization=job.organization,
        livemode=job.livemode,
        scopes=frozenset(Scope.values),
        limits=effective_limits(job.organization, livemode=job.livemode),
        user=request.user,
    )
