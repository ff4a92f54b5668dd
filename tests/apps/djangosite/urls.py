# SPDX-License-Identifier: MIT
"""URLs of the Django project."""
from django.urls import path

from . import views

urlpatterns = [
    path("", views.index),
    path("counter", views.counter),
    path("guests", views.guests),
    path("thanks", views.thanks),
    path("download/<str:name>", views.download),
    path("static/<str:name>", views.static),
    path("generated", views.generated),
    path("stream", views.stream),
    path("raw", views.raw),
    path("database", views.database),
    path("conditional", views.conditional),
    path("failure", views.failure),
    path("sleep", views.sleep),
]
