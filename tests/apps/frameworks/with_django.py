# SPDX-License-Identifier: MIT
"""The application with Django."""
import json

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path

from . import common

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    USE_X_FORWARDED_HOST=False,
    FILE_UPLOAD_MAX_MEMORY_SIZE=65536,
    FILE_UPLOAD_TEMP_DIR=str(common.STATE),
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    USE_TZ=True,
)


def hello(request):
    return HttpResponse(f"Hello, {request.GET.get('name', 'you')}!", content_type="text/plain; charset=utf-8")


def echo(request):
    return JsonResponse(
        {
            "method": request.method,
            "query": {key: request.GET.getlist(key) for key in request.GET},
            "url": request.build_absolute_uri(request.path),
            "prefix": request.META["SCRIPT_NAME"],
            "path": request.path_info,
            "secure": request.is_secure(),
            "address": request.META["REMOTE_ADDR"],
        }
    )


def named(request, name):
    return JsonResponse({"name": name})


def form(request):
    return JsonResponse(
        {
            "fields": {key: request.POST.getlist(key) for key in request.POST},
            "files": {key: common.described_file(file.name, file) for key, file in request.FILES.items()},
        }
    )


def upload(request):
    return JsonResponse({**common.digest(request), "content_length": request.META.get("CONTENT_LENGTH")})


def as_json(request):
    return JsonResponse({"got": json.loads(request.body)})


def file(request):
    return FileResponse(
        common.file_of(int(request.GET.get("size", common.DEFAULT_SIZE))).open("rb"),
        content_type="application/octet-stream",
    )


def stream(request):
    return StreamingHttpResponse(
        common.stream_lines(int(request.GET.get("lines", "5"))), content_type="text/plain"
    )


def blocks(request):
    return StreamingHttpResponse(common.blocks_of(int(request.GET["number"])))


def cookies(request):
    response = JsonResponse(request.COOKIES)
    response.set_cookie("first", "1", path="/")
    response.set_cookie("second", "2", path="/", httponly=True)
    return response


def conditional(request):
    return HttpResponse("unchanged", content_type="text/plain", headers={"ETag": '"v1"'})


def redirect(request):
    return HttpResponseRedirect(request.META["SCRIPT_NAME"] + "/hello?name=again")


def no_content(request):
    response = HttpResponse(status=204)
    del response["Content-Type"]
    return response


def error(request):
    raise RuntimeError("this view fails on purpose")


urlpatterns = [
    path("hello", hello),
    path("echo", echo),
    path("path/<str:name>", named),
    path("form", form),
    path("upload", upload),
    path("json", as_json),
    path("file", file),
    path("stream", stream),
    path("blocks", blocks),
    path("cookies", cookies),
    path("conditional", conditional),
    path("redirect", redirect),
    path("no-content", no_content),
    path("error", error),
]
django.setup()
app = get_wsgi_application()
validated = common.validated(app)
linted = common.linted(app)
