"""Webhooks over the API: validate, call one service, serialize."""

import re
from functools import partial

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import idempotency
from accounts.scopes import Scope
from accounts.tenancy import TenantView
from avatar_api.common.ids import id_pattern
from avatar_api.common.openapi import PAGE_PARAMETERS, operation
from avatar_api.common.pagination import page_of
from avatar_api.common.parameters import refuse_unknown
from avatar_api.common.problems import Problem
from avatar_api.common.strict_json import object_of
from jobs.models import WebhookEndpoint
from jobs.webhooks import endpoints
from jobs.webhooks.serializers import (
    DeliverySerializer,
    SecretRotationSerializer,
    WebhookChangeSerializer,
    WebhookPageSerializer,
    WebhookRequestSerializer,
    WebhookSecretSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
)

WEBHOOK_ID = re.compile(id_pattern("whk"))


class WebhooksView(TenantView):
    """What all views of webhooks share: the scope, and the tenant's own webhooks."""

    required_scope = {
        "GET": Scope.WEBHOOKS_READ.value,
        **dict.fromkeys(["POST", "PATCH", "DELETE"], Scope.WEBHOOKS_WRITE.value),
    }

    @property
    def scopes(self) -> dict[str, frozenset[str]]:
        """The context of serializers that show more to some."""
        return {"scopes": self.tenant.scopes}

    def endpoints(self) -> QuerySet[WebhookEndpoint]:
        return WebhookEndpoint.objects.for_organization(
            self.tenant.organization, livemode=self.tenant.livemode
        )

    def endpoint(self, webhook_id: str) -> WebhookEndpoint:
        """Raises: Problem: `not_found` for an id that never was and for a stranger's alike."""
        found = self.endpoints().filter(pk=webhook_id if WEBHOOK_ID.fullmatch(webhook_id) else "").first()
        if found is None:
            raise Problem("not_found")
        return found


class WebhookListView(WebhooksView):
    @operation("list_webhooks", parameters=PAGE_PARAMETERS, responses=WebhookPageSerializer)
    def get(self, request: Request) -> Response:
        """The webhooks of this mode, newest first."""
        refuse_unknown(request.query_params, {"limit", "cursor"})
        page = page_of(self.endpoints(), request.query_params, id_pattern("whk"))
        return Response(WebhookPageSerializer({"data": page.rows, "next_cursor": page.next_cursor}).data)

    @operation(
        "create_webhook",
        raises=["conflict"],
        idempotent=True,
        request=WebhookRequestSerializer,
        responses={201: WebhookWithSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        """Have events sent to an address. The answer holds the secret that signs them."""
        body = object_of(request)
        idempotent = idempotency.request_of(request.headers.get(idempotency.HEADER), "webhooks", body)
        if idempotent and (claim := idempotency.replay(self.tenant, idempotent)):
            return self.created(self.endpoint(claim.object_id), {"Idempotent-Replayed": "true"})
        form = WebhookRequestSerializer(data=body)
        form.is_valid(raise_exception=True)
        create = partial(
            endpoints.create,
            organization=self.tenant.organization,
            livemode=self.tenant.livemode,
            **form.validated_data,
        )
        return self.created(idempotency.make_once(self.tenant, idempotent, create))

    def created(self, endpoint: WebhookEndpoint, headers: dict[str, str] | None = None) -> Response:
        return Response(WebhookWithSecretSerializer(endpoint).data, status=201, headers=headers)


class WebhookView(WebhooksView):
    @operation("get_webhook", responses=WebhookSerializer)
    def get(self, request: Request, webhook_id: str) -> Response:
        """One webhook, and why it is disabled if it is."""
        return Response(WebhookSerializer(self.endpoint(webhook_id)).data)

    @operation("update_webhook", request=WebhookChangeSerializer, responses=WebhookSerializer)
    def patch(self, request: Request, webhook_id: str) -> Response:
        """Change a webhook, or switch it off and on."""
        endpoint = self.endpoint(webhook_id)
        form = WebhookChangeSerializer(data=object_of(request), partial=True)
        form.is_valid(raise_exception=True)
        return Response(WebhookSerializer(endpoints.change(endpoint=endpoint, **form.validated_data)).data)

    @operation("delete_webhook", responses={204: None})
    def delete(self, request: Request, webhook_id: str) -> Response:
        """Remove a webhook with all its deliveries."""
        self.endpoint(webhook_id).delete()
        return Response(status=204)


class WebhookRotateSecretView(WebhooksView):
    @operation(
        "rotate_webhook_secret",
        request=SecretRotationSerializer,
        responses={200: WebhookWithSecretSerializer},
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """Make a new secret; for `overlap_seconds` messages carry both signatures."""
        endpoint = self.endpoint(webhook_id)
        form = SecretRotationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        endpoint = endpoints.rotate_secret(endpoint=endpoint, **form.validated_data)
        return Response(WebhookWithSecretSerializer(endpoint).data)


class WebhookTestView(WebhooksView):
    @operation("test_webhook", raises=["conflict"], request=None, responses={202: DeliverySerializer})
    def post(self, request: Request, webhook_id: str) -> Response:
        """Send a message of type `webhook.test`, which tells nothing but that messages arrive."""
        delivery = endpoints.send_test(endpoint=self.endpoint(webhook_id))
        return Response(DeliverySerializer(delivery, context=self.scopes).data, status=202)


class WebhookSecretView(WebhooksView):
    required_scope = {"GET": Scope.WEBHOOKS_WRITE.value}

    @operation("get_webhook_secret", responses=WebhookSecretSerializer)
    def get(self, request: Request) -> Response:
        """The secret that signs messages to the `webhook_url` of a job of this mode."""
        livemode = self.tenant.livemode
        secret = endpoints.default_secret(self.tenant.organization, livemode=livemode)
        return Response(WebhookSecretSerializer({"livemode": livemode, "secret": secret}).data)
