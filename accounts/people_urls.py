"""What people need for the browsable API, which links here by DRF's names: to log in, and to choose."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from accounts.choice import choose
from accounts.log_in import LogInForm

app_name = "rest_framework"


def log_in(request: HttpRequest) -> HttpResponseBase:
    return LoginView.as_view(
        template_name="accounts/log_in.html",
        authentication_form=LogInForm,
        next_page="/v1/me",
        extra_context=admin.site.each_context(request),
    )(request)


urlpatterns = [
    path("log-in", log_in, name="login"),
    path("choose", choose, name="choose"),
    path("log-out", LogoutView.as_view(next_page="rest_framework:login"), name="logout"),
]
