from django.urls import path

from console import demo
from console.views import invitation, members, playground, report, start
from console.views.sections import section

urlpatterns = [
    path("", start.start, name="start"),
    path("playground", playground.playground, name="playground"),
    path("invitation/<str:token>", invitation.invitation, name="invitation"),
    path("playground/guest", demo.sign_in_as_guest, name="playground-guest"),
    path("report", report.report, name="report"),
    path("console", section, {"name": "home"}, name="console"),
    path("console/videos", section, {"name": "videos"}, name="console-videos"),
    path("console/videos/<str:video_id>", section, {"name": "video"}, name="console-video"),
    path("console/keys", section, {"name": "keys"}, name="console-keys"),
    path("console/members", members.members_page, name="members-page"),
    path("console/members/<str:verb>", members.act, name="members-act"),
    path("console/webhooks", section, {"name": "webhooks"}, name="console-webhooks"),
    path("console/usage", section, {"name": "usage"}, name="console-usage"),
]
