"""Plans, and organizations with what they may do."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from accounts import services
from accounts.admin.forms import OrganizationForm, PlanForm
from accounts.admin.pages import confirm, limits_table
from accounts.admin.people import MembershipInline
from accounts.admin_scope import ScopedAdmin, is_operator
from accounts.limits import LIMIT_NAMES
from accounts.models import Organization, Plan
from accounts.scopes import Scope


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    form = PlanForm
    list_display = [
        "name",
        "code",
        "create_per_minute",
        "concurrent_jobs",
        "video_seconds_per_month",
        "price_per_video_second_usd",
    ]
    fieldsets = [(None, {"fields": ["code", "name"]}), ("Limits", {"fields": LIMIT_NAMES})]

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        """The code is what organizations refer to."""
        return ["code"] if obj else []


@admin.register(Organization)
class OrganizationAdmin(ScopedAdmin):
    organization_path = "pk"
    staff_scopes = {"view": Scope.JOBS_READ}
    form = OrganizationForm
    list_display = ["name", "id", "plan", "suspended", "created_at"]
    list_filter = ["plan", ("suspended_at", admin.EmptyFieldListFilter)]
    list_select_related = ["plan", "test_plan"]
    search_fields = ["name", "id"]
    readonly_fields = ["id", "suspended_at", "created_at", "plan_name", "live_limits", "test_limits"]
    actions_detail = ["suspend", "resume"]
    OVERVIEW = ("Organization", {"fields": ["id", "name", "plan", "test_plan", "suspended_at", "created_at"]})
    FOR_STAFF = ("Organization", {"fields": ["id", "name", "plan_name", "suspended_at", "created_at"]})
    OVERRIDES = ("Overrides of the plan, for live mode", {"fields": LIMIT_NAMES, "classes": ["tab"]})
    LIMITS = ("Limits that hold", {"fields": ["live_limits", "test_limits"], "classes": ["tab"]})

    def get_fieldsets(self, request: HttpRequest, obj: Organization | None = None) -> list[Any]:
        if obj is None:
            return [(None, {"fields": ["name", "plan", "test_plan"]})]
        if is_operator(request):
            return [self.OVERVIEW, self.LIMITS, self.OVERRIDES]
        return [self.FOR_STAFF, self.LIMITS]

    def get_inlines(self, request: HttpRequest, obj: Organization | None) -> list[Any]:
        return [MembershipInline] if obj and is_operator(request) else []

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        if not is_operator(request):
            return []
        suspended = Organization.objects.filter(pk=object_id, suspended_at__isnull=False).exists()
        return [self.get_unfold_action("resume" if suspended else "suspend")]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What belongs to an organization goes with it, files too, which a row's deletion can't do."""
        return False

    @display(description="Suspended", boolean=True)
    def suspended(self, organization: Organization) -> bool:
        return organization.is_suspended

    @display(description="Plan")
    def plan_name(self, organization: Organization) -> str:
        return organization.plan.name

    @display(description="Live mode")
    def live_limits(self, organization: Organization) -> SafeString:
        return limits_table(organization)

    @display(description="Test mode")
    def test_limits(self, organization: Organization) -> SafeString:
        return limits_table(organization, livemode=False)

    @action(description="Suspend", icon="block")
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "All its requests will be rejected and its queued jobs will be held."
        return self.confirmed(request, object_id, "Suspend", text, services.suspend)

    @action(description="Resume", icon="check_circle")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "Its requests will be accepted again and its queued jobs will continue."
        return self.confirmed(request, object_id, "Resume", text, services.resume)

    def confirmed(
        self, request: HttpRequest, object_id: str, verb: str, text: str, service: Any
    ) -> HttpResponse:
        organization = self.target(request, "change", object_id)
        if request.method != "POST":
            return confirm(self, request, verb=verb, what=str(organization), text=text)
        service(organization=organization)
        return HttpResponseRedirect(reverse("admin:accounts_organization_change", args=[organization.pk]))
