from django.urls import path

from jobs.views import account, files, jobs

# A malformed id is asked for like any other, so that its answer, headers included, tells nothing.
urlpatterns = [
    path("me", account.MeView.as_view(), name="me"),
    path("usage", account.UsageView.as_view(), name="usage"),
    path("jobs", jobs.JobListView.as_view(), name="jobs"),
    path("jobs/<str:job_id>", jobs.JobView.as_view(), name="job"),
    path("jobs/<str:job_id>/content", jobs.JobContentView.as_view(), name="job-content"),
    path("jobs/<str:job_id>/cancel", jobs.JobCancelView.as_view(), name="job-cancel"),
    path("jobs/<str:job_id>/retry", jobs.JobRetryView.as_view(), name="job-retry"),
    path("files/<str:token>", files.FileView.as_view(), name="file"),
]
