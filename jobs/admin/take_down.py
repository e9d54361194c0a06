"""The operators' queue of reported videos."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from accounts.admin.pages import confirm
from accounts.admin_scope import is_operator
from accounts.models import User
from avatar_api.common.problems import Problem
from jobs.lifecycle import take_down
from jobs.models import BlockedPicture, TakeDownReport


@admin.register(TakeDownReport)
class TakeDownReportAdmin(ModelAdmin):
    """Read only, and for operators: the buttons decide."""

    list_display = ["id", "named", "reason", "shown_state", "created_at", "decided_at"]
    list_filter = ["state", "reason"]
    list_select_related = ["job"]
    search_fields = ["=id", "=named"]
    actions_detail = ["remove_files", "remove_and_block", "dismiss"]
    fieldsets = [
        (None, {"fields": [("named", "job"), "reason", "details", "email", "created_at"]}),
        ("Decision", {"fields": ["shown_state", ("decided_by", "decided_at"), "receipt"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        is_open = TakeDownReport.objects.filter(pk=object_id, state=TakeDownReport.State.OPEN).exists()
        return [self.get_unfold_action(name) for name in self.actions_detail if is_open]

    @display(description="State", label={"open": "warning", "removed": "danger", "dismissed": "default"})
    def shown_state(self, report: TakeDownReport) -> str:
        return report.state

    @action(description="Remove the files", icon="delete")
    def remove_files(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "The job is canceled if it is open, and its video, pictures and recordings are deleted now."
        return self.decided(request, object_id, "Remove the files", text, take_down.remove)

    @action(description="Remove and block the picture", icon="hide_image")
    def remove_and_block(self, request: HttpRequest, object_id: str) -> HttpResponse:
        text = "The files are deleted now, and jobs with a picture that looks the same are refused."
        return self.decided(
            request, object_id, "Remove and block the picture", text, take_down.remove_and_block
        )

    @action(description="Dismiss", icon="block")
    def dismiss(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.decided(request, object_id, "Dismiss", "Nothing is removed.", take_down.dismiss)

    def decided(
        self,
        request: HttpRequest,
        object_id: str,
        verb: str,
        text: str,
        decide: Callable[[TakeDownReport, User], None],
    ) -> HttpResponse:
        if not is_operator(request):
            raise PermissionDenied
        report = get_object_or_404(TakeDownReport, pk=object_id)
        if request.method != "POST":
            return confirm(self, request, verb=verb, what=report.named, text=text)
        assert isinstance(request.user, User)
        try:
            decide(report, request.user)
        except Problem as problem:
            self.message_user(request, str(problem.detail), level="error")
        return HttpResponseRedirect(reverse("admin:jobs_takedownreport_change", args=[report.pk]))


@admin.register(BlockedPicture)
class BlockedPictureAdmin(ModelAdmin):
    """For operators: they are added by reports, and deleted here."""

    list_display = ["picture_hash", "category", "created_at"]
    list_filter = ["category"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
