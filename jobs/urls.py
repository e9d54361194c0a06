from django.urls import path

from jobs import views

# A malformed id is asked for like any other, so that its answer, headers included, tells nothing.
urlpatterns = [
    path("me", views.MeView.as_view(), name="me"),
    path("jobs", views.JobListView.as_view(), name="jobs"),
    path("jobs/<str:job_id>", views.JobView.as_view(), name="job"),
    path("jobs/<str:job_id>/content", views.JobContentView.as_view(), name="job-content"),
    path("jobs/<str:job_id>/cancel", views.JobCancelView.as_view(), name="job-cancel"),
    path("files/<str:token>", views.FileView.as_view(), name="file"),
]
