# SPDX-License-Identifier: MIT
import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("", lambda request: HttpResponse("Hello from Django"))]


def make(middleware):
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DEBUG=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=middleware,
        ROOT_URLCONF=__name__,
        SECRET_KEY="not secret: nothing is signed here",
    )
    django.setup()
    return WSGIHandler()
