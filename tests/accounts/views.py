"""The smallest views a tenant can have, for tests of what every view shares."""

from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tenancy import TenantView


class ThingView(TenantView):
    required_scope = {"GET": "jobs:read", "POST": "jobs:write"}

    def get(self, request: Request) -> Response:
        tenant = self.tenant
        return Response(
            {
                "organization": tenant.organization.pk,
                "livemode": tenant.livemode,
                "scopes": sorted(tenant.scopes),
                "key": tenant.api_key and tenant.api_key.pk,
                "person": tenant.user and tenant.user.email,
            }
        )

    def post(self, request: Request) -> Response:
        return Response(request.data)


class OpenToAnyKeyView(TenantView):
    required_scope = {"GET": None}

    def get(self, request: Request) -> Response:
        return Response({}, headers={"ETag": '"1"'})


urlpatterns = [
    path("thing", ThingView.as_view(), name="thing"),
    path("open", OpenToAnyKeyView.as_view(), name="open"),
    path("", include("avatar_api.urls")),
]

handler404 = "avatar_api.common.problems.not_found"
