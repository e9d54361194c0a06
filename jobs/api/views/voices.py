"""What can say a text."""

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tenancy import TenantView
from avatar_api.common.openapi import operation
from avatar_api.common.parameters import refuse_unknown
from jobs.intake.speech import voices
from jobs.presenters import signed_urls
from jobs.presenters.serializers import VoiceListSerializer, VoiceSerializer


class VoiceListView(TenantView):
    required_scope = {"GET": None}

    @operation("list_voices", responses=VoiceListSerializer)
    def get(self, request: Request) -> Response:
        """The voices that can say a text; none where speech from text is not set up."""
        refuse_unknown(request.query_params, set())
        context = {"base_url": signed_urls.base_url(request)}
        offered = VoiceSerializer(voices.offered().values(), many=True, context=context)
        return Response({"data": offered.data})
