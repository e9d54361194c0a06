"""What the browsable API links to by DRF's names, and old addresses: log-in itself is allauth's."""

from allauth.account.views import logout
from django.urls import path
from django.views.generic import RedirectView

from accounts.choice import choose

app_name = "rest_framework"

urlpatterns = [
    path("log-in", RedirectView.as_view(pattern_name="account_login", query_string=True), name="login"),
    path("log-out", logout, name="logout"),
    path("choose", choose, name="choose"),
]
