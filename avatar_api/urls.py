"""Every address of the deployment."""

from django.contrib import admin
from django.urls import include, path

from avatar_api import documentation
from avatar_api.common import health, problems
from avatar_api.common.redirects import to_admin, to_documentation, to_icon, without_trailing_slash
from jobs.metrics import page

urlpatterns = [
    path("", include("console.urls")),
    path("v1/", include("accounts.urls")),
    path("v1/", include("jobs.api.urls")),
    path("v1/openapi.json", documentation.openapi, name="openapi"),
    path("docs", documentation.swagger, name="docs"),
    path("docs/redoc", documentation.redoc, name="redoc"),
    path("docs/errors", documentation.errors, name="errors"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", page.metrics, name="metrics"),
    path("account/", include("allauth.urls")),
    path("people/", include("accounts.people_urls")),
    path("admin/", admin.site.urls),
    path("admin", to_admin),
    path("favicon.ico", to_icon),
    path("v1", to_documentation, name="api"),
    path("v1/", to_documentation, name="api"),
    path("docs/", without_trailing_slash),
    path("docs/<path:address>/", without_trailing_slash),
    path("v1/<path:address>/", without_trailing_slash, name="trailing-slash"),
]

handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.not_found
handler500 = problems.server_error
