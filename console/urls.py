from django.urls import path

from console.views import start

urlpatterns = [path("", start.start, name="start")]
