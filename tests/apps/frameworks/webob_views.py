# SPDX-License-Identifier: MIT
"""The views of Pyramid and of WebOb alone, whose requests and responses are the same: view(request) gives a
response."""
from webob import Response

from . import common


def several(multidict):
    return {key: multidict.getall(key) for key in multidict}


def hello(request):
    return Response(f"Hello, {request.GET.get('name', 'you')}!", content_type="text/plain", charset="utf-8")


def echo(request):
    return Response(
        json={
            "method": request.method,
            "query": several(request.GET),
            "url": request.path_url,
            "prefix": request.script_name,
            "path": request.path_info,
            "secure": request.scheme == "https",
            "address": request.remote_addr,
        }
    )


def form(request):
    fields, files = {}, {}
    for key, value in request.POST.items():
        if isinstance(value, str):
            fields.setdefault(key, []).append(value)
        else:
            files[key] = common.described_file(value.filename, value.file)
    return Response(json={"fields": fields, "files": files})


def upload(request):
    return Response(
        json={**common.digest(request.body_file), "content_length": request.environ.get("CONTENT_LENGTH")}
    )


def as_json(request):
    return Response(json={"got": request.json_body})


def stream(request):
    lines = common.stream_lines(int(request.GET.get("lines", "5")))
    return Response(app_iter=lines, content_type="text/plain")


def blocks(request):
    return Response(app_iter=common.blocks_of(int(request.GET["number"])))


def cookies(request):
    response = Response(json=dict(request.cookies))
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


def conditional(request):
    return Response("unchanged", content_type="text/plain", etag="v1", conditional_response=True)


def redirect(request):
    return Response(status=302, location=request.script_name + "/hello?name=again")


def no_content(request):
    return Response(status=204, content_type=None)


def error(request):
    raise RuntimeError("this view fails on purpose")


VIEWS = {
    "hello": hello,
    "echo": echo,
    "form": form,
    "upload": upload,
    "json": as_json,
    "stream": stream,
    "blocks": blocks,
    "cookies": cookies,
    "conditional": conditional,
    "redirect": redirect,
    "no-content": no_content,
    "error": error,
}
