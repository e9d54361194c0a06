"""Videos to watch while they are rendered."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from jobs.api.views.base import SignedView
from jobs.presenters import hls, signed_urls
from jobs.presenters.hls import Stream
from jobs.presenters.signed_urls import Download

# A redirect leads to an address that works for an hour; so it may be followed again for a while.
REDIRECT_SECONDS = 300


class PlaylistView(SignedView):
    @extend_schema(exclude=True)
    def get(self, request: Request, token: str) -> HttpResponse:
        """The segments that are finished, and whether more will follow."""
        stream = hls.read_token(token)
        response = HttpResponse(hls.playlist(stream), content_type=hls.PLAYLIST_TYPE)
        kept = f"private, max-age={REDIRECT_SECONDS}" if stream.is_complete else "no-store"
        response["Cache-Control"] = kept
        return response


class InitSectionView(SignedView):
    @extend_schema(exclude=True)
    def get(self, request: Request, token: str) -> HttpResponse:
        stream = hls.read_token(token)
        return redirect(request, stream, hls.init_section(stream))


class SegmentView(SignedView):
    @extend_schema(exclude=True)
    def get(self, request: Request, token: str, window: int) -> HttpResponse:
        stream = hls.read_token(token)
        return redirect(request, stream, hls.segment(stream, window))


def redirect(request: Request, stream: Stream, download: Download) -> HttpResponse:
    """Lead to where the store has the file."""
    location = signed_urls.signed_url(signed_urls.base_url(request), download, stream.until)
    headers = {"Location": location, "Cache-Control": f"private, max-age={REDIRECT_SECONDS}"}
    return HttpResponse(status=302, headers=headers)
