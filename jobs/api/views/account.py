"""Who asks, and what they have used."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tenancy import TenantView
from avatar_api.common.faults import Faults
from avatar_api.common.openapi import operation
from avatar_api.common.parameters import refuse_unknown
from jobs.billing import account, usage
from jobs.presenters.serializers import MeSerializer, UsageReportSerializer


class UsageView(TenantView):
    required_scope = {"GET": "usage:read"}

    @operation(
        "get_usage",
        responses=UsageReportSerializer,
        parameters=[
            OpenApiParameter(
                "from", OpenApiTypes.DATE, description="First day (UTC). Default: the first of this month."
            ),
            OpenApiParameter("to", OpenApiTypes.DATE, description="Last day (UTC). Default: today."),
            OpenApiParameter("group_by", enum=list(usage.GROUPS), default="day"),
        ],
    )
    def get(self, request: Request) -> Response:
        """Jobs, seconds of video and of GPU, and cost, by day or by key."""
        params = request.query_params
        faults = Faults()
        with faults.gathered():
            refuse_unknown(params, {"from", "to", "group_by"})
        with faults.gathered():
            period = usage.read_period(params)
        with faults.gathered():
            group_by = usage.read_group(params)
        faults.refuse()
        report = usage.report(self.tenant, period, group_by)
        return Response(UsageReportSerializer(report).data)


class MeView(TenantView):
    required_scope = {"GET": None}

    @operation("get_me", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """Who asks, under which plan, and what is left of its limits."""
        return Response(MeSerializer(account.me(self.tenant)).data)
