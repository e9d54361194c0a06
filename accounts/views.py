"""API keys over the API: validate, call one service, serialize."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import idempotency, services
from accounts.api_keys import ID_PATTERN
from accounts.key_authority import Authority, BeyondAuthorityError
from accounts.limits import LIMIT_NAMES
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

    def authority(self) -> Authority:
        """What whoever asks may hand on: a key what it may do itself, a person what the role may."""
        key = self.tenant.api_key
        return Authority.of_key(key) if key else Authority(self.tenant.scopes)

    def minted(self, api_key: ApiKey, key: str | None, headers: dict[str, str] | None = None) -> Response:
        shown = MintedApiKeySerializer(api_key, context={"key": key}).data
        return Response(shown, status=201, headers=headers)


@contextmanager
def refusals() -> Iterator[None]:
    """Translate what the services refuse."""
    try:
        yield
    except BeyondAuthorityError as error:
        raise Problem("permission_denied", str(error)) from error
    except services.TooManyKeysError as error:
        raise Problem("quota_exceeded", str(error)) from error
    except services.KeyNotActiveError as error:
        raise Problem("conflict", "The key is no longer active and can't be rotated.") from error


class ApiKeyListView(ApiKeysView):
    @operation("list_api_keys", parameters=PAGE_PARAMETERS, responses=ApiKeyPageSerializer)
    def get(self, request: Request) -> Response:
        """The keys of this mode, newest first, those that no longer work included."""
        page = page_of(self.api_keys(), request.query_params, ID_PATTERN)
        return Response(ApiKeyPageSerializer({"data": page.rows, "next_cursor": page.next_cursor}).data)

    @operation(
        "create_api_key",
        raises=["quota_exceeded"],
        idempotent=True,
        request=ApiKeyRequestSerializer,
        responses={201: MintedApiKeySerializer},
    )
    def post(self, request: Request) -> Response:
        """Mint a key of this mode. The answer is the only place where it is ever shown whole.

        A repetition under the same `Idempotency-Key` shows the key's row with `key` null, because its text is
        kept nowhere.
        """
        body = object_of(request)
        idempotent = idempotency.request_of(request.headers.get(idempotency.HEADER), "api-keys", body)
        if idempotent and (claim := idempotency.replay(self.tenant, idempotent)):
            return self.minted(self.api_key(claim.object_id), None, {"Idempotent-Replayed": "true"})
        form = ApiKeyRequestSerializer(data=body)
        form.is_valid(raise_exception=True)
        return self.minted(*self.mint(form.validated_data, idempotent))

    def mint(
        self, data: dict[str, Any], idempotent: idempotency.IdempotentRequest | None
    ) -> tuple[ApiKey, str]:
        maker, authority = self.tenant.api_key, self.authority()
        with refusals(), idempotency.claimed(self.tenant, idempotent), transaction.atomic():
            api_key, key = services.mint_key(
                organization=self.tenant.organization,
                livemode=self.tenant.livemode,
                name=data["name"],
                scopes=frozenset(data.get("scopes", authority.scopes)),
                authority=authority,
                expires_at=data["expires_at"] or authority.ends_at,
                allowed_ips=data["allowed_ips"] or authority.allowed_ips,
                overrides={name: getattr(maker, name) for name in LIMIT_NAMES} if maker else None,
                created_by=self.tenant.user,
            )
            idempotency.complete(self.tenant, idempotent, api_key.pk)
        return api_key, key


class ApiKeyView(ApiKeysView):
    @operation("revoke_api_key", responses={204: None})
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key: it works no more, at once and for good."""
        with refusals():
            services.revoke_key(api_key=self.api_key(key_id), authority=self.authority())
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
        with refusals():
            api_key, key = services.rotate_key(
                api_key=old,
                overlap_seconds=form.validated_data["overlap_seconds"],
                authority=self.authority(),
                created_by=self.tenant.user,
            )
        return self.minted(api_key, key)
