"""The folder store's own door."""

from django.core.files.storage import default_storage
from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from avatar_api.common.problems import Problem
from avatar_api.common.ranges import file_response
from jobs.api.views.base import SignedView
from jobs.intake import assets
from jobs.presenters import signed_urls


class FileView(SignedView):
    """Files of the folder store. With R2 the store serves them itself."""

    http_method_names = ["get", "head", "put"]

    @extend_schema(exclude=True)
    def get(self, request: Request, token: str) -> HttpResponseBase:
        download = signed_urls.read_token(token)
        try:
            file = default_storage.open(download.key)
        except FileNotFoundError as error:
            raise Problem("expired") from error
        response = file_response(file, download.content_type, request.headers.get("Range"))
        response["Content-Disposition"] = f'inline; filename="{download.filename}"'
        response["Cache-Control"] = "private, max-age=3600"
        return response

    @extend_schema(exclude=True)
    def put(self, request: Request, token: str) -> Response:
        """Take the file of an asset, as it comes, to disk."""
        asset = assets.asset_of_token(token)
        size = int(request.META.get("CONTENT_LENGTH") or 0)
        assets.receive(asset, request.content_type or "", size, request.stream)
        return Response(status=204)
