from django.urls import path, re_path

from accounts import views
from accounts.api_keys import ID_PATTERN

KEY = rf"^api-keys/(?P<key_id>{ID_PATTERN})"

urlpatterns = [
    path("api-keys", views.ApiKeyListView.as_view(), name="api-keys"),
    re_path(rf"{KEY}$", views.ApiKeyView.as_view(), name="api-key"),
    re_path(rf"{KEY}/rotate$", views.ApiKeyRotateView.as_view(), name="api-key-rotate"),
]
