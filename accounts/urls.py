from django.urls import path

from accounts import views

# A malformed id is looked up like any other, so that the response, headers included, reveals nothing.
urlpatterns = [
    path("api-keys", views.ApiKeyListView.as_view(), name="api-keys"),
    path("api-keys/<str:key_id>", views.ApiKeyView.as_view(), name="api-key"),
    path("api-keys/<str:key_id>/rotate", views.ApiKeyRotateView.as_view(), name="api-key-rotate"),
]
