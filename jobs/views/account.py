"""Who asks, and what they have used."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tenancy import TenantView
from jobs import account
from jobs.serializers import MeSerializer


class MeView(TenantView):
    required_scope = {"GET": None}

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Who asks, under which plan, and what is left of its limits."""
        return Response(MeSerializer(account.me(self.tenant)).data)
