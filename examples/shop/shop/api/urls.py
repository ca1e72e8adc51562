"""The addresses of the shop's API, two of which have names that Kasparro's have too."""

from django.http import HttpRequest, JsonResponse
from django.urls import path


def show_health(request: HttpRequest) -> JsonResponse:
    """Say that the shop is open."""
    return JsonResponse({"shop": "open"})


urlpatterns = [path("health", show_health, name="health"), path("runs/<int:pk>", show_health, name="run-detail")]
