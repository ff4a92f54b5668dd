# SPDX-License-Identifier: MIT
"""Views of the Django project."""
import hashlib
import time
from pathlib import Path

from django import forms
from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.views.decorators.csrf import csrf_exempt

PAGE = """<!doctype html><title>Guest book</title>
<form method="post" enctype="multipart/form-data">{% csrf_token %}{{ form }}<button>Send</button></form>
{% if errors %}<p class="errors">{{ errors }}</p>{% endif %}"""


def render(request, template, **context):
    return HttpResponse(engines["django"].from_string(template).render(context, request))


class Entry(forms.Form):
    name = forms.CharField(max_length=20)
    file = forms.FileField(required=False)


def index(request):
    return render(
        request,
        "<!doctype html><title>Django</title><h1>It works, {{ name }}.</h1>",
        name=request.GET.get("name", "you"),
    )


def counter(request):
    """Counts the visits of one session, which is kept in the database."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"visits": request.session["visits"], "cookies": request.COOKIES})


def guests(request):
    """A form with a CSRF token; its file, if any, is stored."""
    form = Entry(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        request.session["name"] = form.cleaned_data["name"]
        upload = form.cleaned_data["file"]
        if upload:
            default_storage.delete(upload.name)
            default_storage.save(upload.name, upload)
        return HttpResponseRedirect("/thanks")
    return render(request, PAGE, form=form, errors=form.errors if request.method == "POST" else None)


def thanks(request):
    return render(request, "Thank you, {{ name }}!", name=request.session.get("name", "?"))


def download(request, name):
    return FileResponse(default_storage.open(name), as_attachment=True, filename=name)


def static(request, name):
    """A file of the source through wsgi.file_wrapper."""
    return FileResponse((Path(__file__).parent / Path(name).name).open("rb"))


def generated(request):
    """A download that is no file."""
    import io

    return FileResponse(io.BytesIO(b"generated\n" * 1000), filename="generated.txt")


def stream(request):
    def lines():
        for number in range(int(request.GET.get("lines", "5"))):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


@csrf_exempt
def raw(request):
    """What came of a raw body, however it was sent."""
    body = request.body
    return JsonResponse(
        {
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "cookies": request.COOKIES,
            "secure": request.is_secure(),
            "address": request.META["REMOTE_ADDR"],
        }
    )


def database(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_session")
        return JsonResponse(
            {"sessions": cursor.fetchone()[0], "vendor": connection.vendor, "state": str(settings.STATE)}
        )


def conditional(request):
    return HttpResponse("unchanged", headers={"ETag": '"v1"'})


def failure(request):
    raise RuntimeError("this view fails on purpose")


def sleep(request):
    time.sleep(float(request.GET.get("seconds", "0.1")))
    return HttpResponse("slept")
