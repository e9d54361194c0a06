from django.urls import path

from console import demo
from console.views import playground, start

urlpatterns = [
    path("", start.start, name="start"),
    path("playground", playground.playground, name="playground"),
    path("playground/guest", demo.sign_in_as_guest, name="playground-guest"),
]
