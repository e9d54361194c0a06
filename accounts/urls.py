from django.urls import path

from accounts import member_views, views

# A malformed id is looked up like any other, so that the response, headers included, reveals nothing.
urlpatterns = [
    path("api-keys", views.ApiKeyListView.as_view(), name="api-keys"),
    path("api-keys/<str:key_id>", views.ApiKeyView.as_view(), name="api-key"),
    path("api-keys/<str:key_id>/rotate", views.ApiKeyRotateView.as_view(), name="api-key-rotate"),
    path("members", member_views.MemberListView.as_view(), name="members"),
    path("members/<str:member_id>", member_views.MemberView.as_view(), name="member"),
    path("invitations", member_views.InvitationListView.as_view(), name="invitations"),
    path("invitations/<str:invitation_id>", member_views.InvitationView.as_view(), name="invitation-sent"),
    path(
        "invitations/<str:invitation_id>/resend",
        member_views.InvitationResendView.as_view(),
        name="invitation-resend",
    ),
]
