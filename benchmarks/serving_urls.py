"""The deployment's addresses, and an empty throttled view."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tenancy import TenantView
from avatar_api.urls import urlpatterns as deployed


class EmptyView(TenantView):
    required_scope = {"GET": "jobs:read"}

    def get(self, request: Request) -> Response:
        return Response({"ok": True})


urlpatterns = [*deployed, path("v1/empty", EmptyView.as_view())]
