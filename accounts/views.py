"""API keys over the API: validate, call one service, serialize."""

import re

from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.api_keys import ID_PATTERN
from accounts.models import ApiKey
from accounts.scopes import Scope
from accounts.serializers import (
    ApiKeyPageSerializer,
    ApiKeyRequestSerializer,
    MintedApiKeySerializer,
    RotationRequestSerializer,
)
from accounts.tenancy import TenantView
from avatar_api.common.openapi import PAGE_PARAMETERS, operation
from avatar_api.common.pagination import page_of
from avatar_api.common.problems import Problem
from avatar_api.common.strict_json import object_of
from avatar_api.common.tenant_queryset import TenantQuerySet

KEY_ID = re.compile(ID_PATTERN)


class ApiKeysView(TenantView):
    """What all views of keys share: the scope, and the tenant's own keys."""

    required_scope = dict.fromkeys(["GET", "POST", "DELETE"], Scope.KEYS_WRITE.value)

    def api_keys(self) -> TenantQuerySet[ApiKey]:
        return ApiKey.objects.for_organization(self.tenant.organization, livemode=self.tenant.livemode)

    def api_key(self, key_id: str) -> ApiKey:
        """Raises: Problem: `not_found` for an id that never was and for a stranger's alike."""
        api_key = self.api_keys().filter(pk=key_id if KEY_ID.fullmatch(key_id) else "").first()
        if api_key is None:
            raise Problem("not_found")
        return api_key

    def minted(self, api_key: ApiKey, key: str) -> Response:
        return Response(MintedApiKeySerializer(api_key, context={"key": key}).data, status=201)


class ApiKeyListView(ApiKeysView):
    @operation("list_api_keys", parameters=PAGE_PARAMETERS, responses=ApiKeyPageSerializer)
    def get(self, request: Request) -> Response:
        """The keys of this mode, newest first, those that no longer work included."""
        page = page_of(self.api_keys(), request.query_params, ID_PATTERN)
        return Response(ApiKeyPageSerializer({"data": page.rows, "next_cursor": page.next_cursor}).data)

    @operation("create_api_key", request=ApiKeyRequestSerializer, responses={201: MintedApiKeySerializer})
    def post(self, request: Request) -> Response:
        """Mint a key of this mode. The answer is the only place where it is ever shown whole."""
        form = ApiKeyRequestSerializer(data=object_of(request))
        form.is_valid(raise_exception=True)
        data = form.validated_data
        try:
            api_key, key = services.mint_key(
                organization=self.tenant.organization,
                livemode=self.tenant.livemode,
                name=data["name"],
                scopes=frozenset(data.get("scopes", self.tenant.scopes)),
                maker_scopes=self.tenant.scopes,
                expires_at=data["expires_at"],
                allowed_ips=data["allowed_ips"],
                created_by=self.tenant.user,
            )
        except services.ScopeNotHeldError as error:
            raise Problem("permission_denied", str(error)) from error
        return self.minted(api_key, key)


class ApiKeyView(ApiKeysView):
    @operation("revoke_api_key", responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: it works no more, at once and for good."""
        services.revoke_key(api_key=self.api_key(key_id))
        return Response(status=204)


class ApiKeyRotateView(ApiKeysView):
    @operation(
        "rotate_api_key",
        raises=["conflict"],
        request=RotationRequestSerializer,
        responses={201: MintedApiKeySerializer},
    )
    def post(self, request: Request, key_id: str) -> Response:
        """Mint a key that takes another's place, which works for `overlap_seconds` more."""
        old = self.api_key(key_id)
        form = RotationRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            api_key, key = services.rotate_key(
                api_key=old,
                overlap_seconds=form.validated_data["overlap_seconds"],
                maker_scopes=self.tenant.scopes,
                created_by=self.tenant.user,
            )
        except services.ScopeNotHeldError as error:
            raise Problem("permission_denied", str(error)) from error
        except services.KeyNotActiveError as error:
            raise Problem("conflict", "The key doesn't work any more, so it can't be rotated.") from error
        return self.minted(api_key, key)
