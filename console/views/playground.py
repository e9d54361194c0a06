"""The playground: a page on which a person makes a video; its modules use the API as any client does."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from console.pages import page
from console.views.sections import tenant_of
from gpu_worker.contract.presets import PRESETS, Resolution
from jobs.intake.requests import DEFAULT_PROMPT, MAX_PROMPT, MAX_SEED

RESOLUTION_MEANINGS = {Resolution.P480: "for phones and previews", Resolution.P720: "for screens"}


@require_safe
@ensure_csrf_cookie
def playground(request: HttpRequest) -> HttpResponse:
    return page(
        request,
        "playground.html",
        {
            "presets": [(name, preset.summary) for name, preset in PRESETS.items()],
            "resolutions": [(resolution, RESOLUTION_MEANINGS[resolution]) for resolution in Resolution],
            "default_prompt": DEFAULT_PROMPT,
            "max_prompt": MAX_PROMPT,
            "max_seed": MAX_SEED,
            "demo_sign_in": settings.DEMO_SIGN_IN,
            "api_address": request.build_absolute_uri(reverse("api")).rstrip("/"),
            **tenant_of(request),
        },
    )
