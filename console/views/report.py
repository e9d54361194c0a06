"""The page on which anybody reports a video that should not be there."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from accounts import rate_limits
from accounts.client_address import client_address, throttled_as
from console.pages import page
from jobs.lifecycle import take_down
from jobs.models import TakeDownReport

PER_MINUTE = 5


class ReportForm(forms.Form):
    named = forms.CharField(
        max_length=2000,
        label="Which video?",
        help_text="Its address, or its id (job_…), which stands in the file's comment.",
    )
    reason = forms.ChoiceField(choices=TakeDownReport.Reason.choices, label="What is wrong with it?")
    details = forms.CharField(
        max_length=2000, required=False, label="What should we know?", widget=forms.Textarea({"rows": 5})
    )
    email = forms.EmailField(
        required=False, label="Your e-mail address", help_text="Optional: only for questions about this."
    )


@require_http_methods(["GET", "HEAD", "POST"])
def report(request: HttpRequest) -> HttpResponse:
    form = ReportForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"form": form}
    if not form.is_valid():
        return page(request, "report.html", context, status=422 if form.is_bound else 200)
    if not rate_limits.hit("report", PER_MINUTE, throttled_as(client_address(request))).allowed:
        return page(request, "report.html", context | {"too_many": True}, status=429)
    return page(request, "report.html", {"received": take_down.take_in(**form.cleaned_data)})
