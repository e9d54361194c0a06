from django.urls import path

from jobs.api.views import account, assets, deliveries, files, jobs, streams, voices, webhooks

# A malformed id is looked up like any other, so that the response, headers included, reveals nothing.
urlpatterns = [
    path("me", account.MeView.as_view(), name="me"),
    path("usage", account.UsageView.as_view(), name="usage"),
    path("jobs", jobs.JobListView.as_view(), name="jobs"),
    path("jobs/<str:job_id>", jobs.JobView.as_view(), name="job"),
    path("jobs/<str:job_id>/content", jobs.JobContentView.as_view(), name="job-content"),
    path("jobs/<str:job_id>/cancel", jobs.JobCancelView.as_view(), name="job-cancel"),
    path("jobs/<str:job_id>/retry", jobs.JobRetryView.as_view(), name="job-retry"),
    path("jobs/<str:job_id>/deliveries", deliveries.JobDeliveryListView.as_view(), name="job-deliveries"),
    path(
        "jobs/<str:job_id>/deliveries/<str:delivery_id>/redeliver",
        deliveries.JobRedeliverView.as_view(),
        name="job-redeliver",
    ),
    path("webhooks", webhooks.WebhookListView.as_view(), name="webhooks"),
    path("webhooks/secret", webhooks.WebhookSecretView.as_view(), name="webhook-secret"),
    path("webhooks/<str:webhook_id>", webhooks.WebhookView.as_view(), name="webhook"),
    path(
        "webhooks/<str:webhook_id>/rotate-secret",
        webhooks.WebhookRotateSecretView.as_view(),
        name="webhook-rotate-secret",
    ),
    path("webhooks/<str:webhook_id>/test", webhooks.WebhookTestView.as_view(), name="webhook-test"),
    path(
        "webhooks/<str:webhook_id>/deliveries",
        deliveries.WebhookDeliveryListView.as_view(),
        name="webhook-deliveries",
    ),
    path(
        "webhooks/<str:webhook_id>/deliveries/<str:delivery_id>/redeliver",
        deliveries.WebhookRedeliverView.as_view(),
        name="webhook-redeliver",
    ),
    path("estimates", jobs.EstimateView.as_view(), name="estimates"),
    path("voices", voices.VoiceListView.as_view(), name="voices"),
    path("assets", assets.AssetListView.as_view(), name="assets"),
    path("assets/<str:asset_id>", assets.AssetView.as_view(), name="asset"),
    path("files/<str:token>", files.FileView.as_view(), name="file"),
    path("streams/<str:token>/playlist.m3u8", streams.PlaylistView.as_view(), name="stream"),
    path("streams/<str:token>/init.mp4", streams.InitSectionView.as_view(), name="stream-init"),
    path(
        "streams/<str:token>/segment-<int:window>.m4s", streams.SegmentView.as_view(), name="stream-segment"
    ),
]
