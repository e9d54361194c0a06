"""Assets: files that don't pass through the API."""

import re

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import idempotency
from accounts.tenancy import TenantView
from avatar_api.common.faults import Faults
from avatar_api.common.fields import StrictCharField, StrictIntegerField, StrictSerializer
from avatar_api.common.ids import id_pattern
from avatar_api.common.openapi import PAGE_PARAMETERS, operation
from avatar_api.common.pagination import page_of
from avatar_api.common.parameters import refuse_unknown
from avatar_api.common.problems import Problem
from avatar_api.common.strict_json import object_of
from jobs.intake import assets, media_types
from jobs.models import Asset
from jobs.presenters import signed_urls
from jobs.presenters.serializers import AssetPageSerializer, AssetSerializer

ID = id_pattern("ast")
MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}(; ?[\w.+-]+=[\w.+,\"-]+)*", re.ASCII)


class AssetRequestSerializer(StrictSerializer):
    """A file that is to be uploaded."""

    content_type = StrictCharField(
        max_length=127, help_text="Such as audio/wav; the PUT must use the same type."
    )
    size_bytes = StrictIntegerField(min_value=1, help_text="Exactly.")
    filename = StrictCharField(max_length=255, default="", allow_blank=True, trim_whitespace=False)

    def validate_content_type(self, value: str) -> str:
        if not MEDIA_TYPE.fullmatch(value):
            raise serializers.ValidationError("Must be a media type such as audio/wav.")
        if not media_types.is_accepted(value):
            detail = "No job takes such a file; images, recordings and videos are accepted."
            raise serializers.ValidationError(detail, "unsupported_media_type")
        return value


class AssetsView(TenantView):
    required_scope = {"GET": "jobs:read", "POST": "jobs:write", "DELETE": "jobs:write"}

    def asset(self, asset_id: str) -> Asset:
        """Raises: Problem: `not_found` for an id that never was and for a stranger's alike."""
        asset = assets.find(self.tenant, asset_id)
        if asset is None:
            raise Problem("not_found")
        return asset

    def answer(self, asset: Asset, *, status: int = 200, to_upload: bool = False) -> Response:
        shown = assets.present(asset, signed_urls.base_url(self.request) if to_upload else None)
        return Response(AssetSerializer(shown).data, status=status)


class AssetListView(AssetsView):
    @operation("list_assets", parameters=PAGE_PARAMETERS, responses=AssetPageSerializer)
    def get(self, request: Request) -> Response:
        """The assets that are kept, newest first, and whether their files are there."""
        faults = Faults()
        with faults.gathered():
            refuse_unknown(request.query_params, {"limit", "cursor"})
        with faults.gathered():
            page = page_of(assets.kept(self.tenant), request.query_params, ID)
        faults.refuse()
        rows = [assets.present(asset, None) for asset in page.rows]
        return Response(AssetPageSerializer({"data": rows, "next_cursor": page.next_cursor}).data)

    @operation(
        "create_asset",
        raises=["quota_exceeded"],
        idempotent=True,
        request=AssetRequestSerializer,
        responses={201: AssetSerializer},
    )
    def post(self, request: Request) -> Response:
        """Announce a file. The answer says where and how to upload it."""
        body = object_of(request)
        idempotent = idempotency.request_of(request.headers.get(idempotency.HEADER), "assets", body)
        if idempotent and (claim := idempotency.replay(self.tenant, idempotent)):
            response = self.answer(self.asset(claim.object_id), status=201, to_upload=True)
            response["Idempotent-Replayed"] = "true"
            return response
        form = AssetRequestSerializer(data=body)
        form.is_valid(raise_exception=True)
        asset = assets.create(tenant=self.tenant, idempotent=idempotent, **form.validated_data)
        return self.answer(asset, status=201, to_upload=True)


class AssetView(AssetsView):
    @operation("get_asset", responses=AssetSerializer)
    def get(self, request: Request, asset_id: str) -> Response:
        """One asset, and whether its file is there."""
        return self.answer(self.asset(asset_id))

    @operation("delete_asset", responses={204: None})
    def delete(self, request: Request, asset_id: str) -> Response:
        """Remove an asset and its file. Jobs that took it have their own copies."""
        assets.delete(self.asset(asset_id))
        return Response(status=204)
