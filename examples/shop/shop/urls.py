"""The shop's addresses."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("office/", admin.site.urls),
    path("api/", include("shop.api.urls")),
    path("supply/", include("api.urls")),  # kasparro
]
