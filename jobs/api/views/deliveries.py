"""Messages to webhooks and to jobs' own addresses: what became of each, and sending one again."""

import re

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from avatar_api.common.ids import id_pattern
from avatar_api.common.openapi import PAGE_PARAMETERS, operation
from avatar_api.common.pagination import page_of
from avatar_api.common.parameters import refuse_unknown
from avatar_api.common.problems import Problem
from jobs.api.views.base import JOB_ID
from jobs.api.views.webhooks import WebhooksView
from jobs.models import Job, WebhookDelivery
from jobs.webhooks import endpoints
from jobs.webhooks.serializers import DeliveryPageSerializer, DeliverySerializer

DELIVERY_ID = re.compile(id_pattern("msg"))


class DeliveriesView(WebhooksView):
    """What views of deliveries share, whatever the deliveries belong to."""

    def page(self, request: Request, deliveries: QuerySet[WebhookDelivery]) -> Response:
        refuse_unknown(request.query_params, {"limit", "cursor"})
        page = page_of(deliveries.select_related("endpoint", "job"), request.query_params, id_pattern("msg"))
        return Response(
            DeliveryPageSerializer(
                {"data": page.rows, "next_cursor": page.next_cursor}, context=self.scopes
            ).data
        )

    def redelivered(self, deliveries: QuerySet[WebhookDelivery], delivery_id: str) -> Response:
        """Raises: Problem: `not_found`, for a delivery that belongs to something else too."""
        found = deliveries.filter(pk=delivery_id if DELIVERY_ID.fullmatch(delivery_id) else "").first()
        if found is None:
            raise Problem("not_found")
        again = endpoints.redeliver(delivery=found)
        return Response(DeliverySerializer(again, context=self.scopes).data, status=202)

    def of_webhook(self, webhook_id: str) -> QuerySet[WebhookDelivery]:
        return WebhookDelivery.objects.filter(endpoint=self.endpoint(webhook_id))

    def of_job(self, job_id: str) -> QuerySet[WebhookDelivery]:
        """Those to the job's own address.

        Raises:
            Problem: `not_found` for an id that never was and for a stranger's alike.
        """
        jobs = Job.objects.for_organization(self.tenant.organization, livemode=self.tenant.livemode)
        job = jobs.only("id").filter(pk=job_id if JOB_ID.fullmatch(job_id) else "").first()
        if job is None:
            raise Problem("not_found")
        return WebhookDelivery.objects.filter(job=job, endpoint__isnull=True)


class WebhookDeliveryListView(DeliveriesView):
    @operation("list_webhook_deliveries", parameters=PAGE_PARAMETERS, responses=DeliveryPageSerializer)
    def get(self, request: Request, webhook_id: str) -> Response:
        """The messages to a webhook, newest first, and what became of each."""
        return self.page(request, self.of_webhook(webhook_id))


class WebhookRedeliverView(DeliveriesView):
    @operation(
        "redeliver_webhook_delivery",
        raises=["conflict"],
        request=None,
        responses={202: DeliverySerializer},
    )
    def post(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """Send the same message once more, under the same `webhook-id`."""
        return self.redelivered(self.of_webhook(webhook_id), delivery_id)


class JobDeliveryListView(DeliveriesView):
    @operation("list_job_deliveries", parameters=PAGE_PARAMETERS, responses=DeliveryPageSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        """The messages to a job's own `webhook_url`, newest first, and what became of each."""
        return self.page(request, self.of_job(job_id))


class JobRedeliverView(DeliveriesView):
    @operation("redeliver_job_delivery", request=None, responses={202: DeliverySerializer})
    def post(self, request: Request, job_id: str, delivery_id: str) -> Response:
        """Send the same message to the job's own `webhook_url` once more, under the same `webhook-id`."""
        return self.redelivered(self.of_job(job_id), delivery_id)
