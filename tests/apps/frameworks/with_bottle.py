# SPDX-License-Identifier: MIT
"""The application with Bottle."""
import bottle
from bottle import Bottle, HTTPResponse, request, response, static_file

from . import common

bottle.BaseRequest.MEMFILE_MAX = 65536
site = Bottle()


def several(multidict):
    return {key: multidict.getall(key) for key in multidict}


@site.route("/hello", method=["GET", "POST"])
def hello():
    response.content_type = "text/plain; charset=utf-8"
    return f"Hello, {request.query.getunicode('name', 'you')}!"


@site.get("/echo")
def echo():
    return {
        "method": request.method,
        "query": several(request.query.decode()),
        "url": request.urlparts._replace(query="").geturl(),
        "prefix": request.script_name.rstrip("/"),
        "path": request.path,
        "secure": request.urlparts.scheme == "https",
        "address": request.environ["REMOTE_ADDR"],
    }


@site.get("/path/<name>")
def named(name):
    return {"name": name}


@site.post("/form")
def form():
    # Bottle decodes the fields of multipart/form-data, and leaves those of the other kind in ISO 8859-1.
    is_decoded = request.content_type.startswith("multipart/")
    return {
        "fields": several(request.forms if is_decoded else request.forms.decode()),
        "files": {
            key: common.described_file(upload.raw_filename, upload.file)
            for key, upload in request.files.items()
        },
    }


@site.route("/upload", method=["POST", "PUT"])
def upload():
    return {**common.digest(request.body), "content_length": request.environ.get("CONTENT_LENGTH")}


@site.post("/json")
def as_json():
    return {"got": request.json}


@site.get("/file")
def file():
    path = common.file_of(int(request.query.get("size", common.DEFAULT_SIZE)))
    return static_file(path.name, root=str(path.parent), mimetype="application/octet-stream")


@site.get("/stream")
def stream():
    response.content_type = "text/plain"
    yield from common.stream_lines(int(request.query.get("lines", "5")))


@site.get("/blocks")
def blocks():
    yield from common.blocks_of(int(request.query["number"]))


@site.get("/cookies")
def cookies():
    response.set_cookie("first", "1", path="/")
    response.set_cookie("second", "2", path="/", httponly=True)
    return dict(request.cookies)


@site.get("/conditional")
def conditional():
    tags = [tag.strip().removeprefix("W/") for tag in request.get_header("If-None-Match", "").split(",")]
    if '"v1"' in tags:
        return HTTPResponse(status=304, ETag='"v1"')
    response.content_type = "text/plain"
    response.set_header("ETag", '"v1"')
    return "unchanged"


@site.route("/redirect", method=["GET", "POST"])
def redirected():
    bottle.redirect(request.script_name.rstrip("/") + "/hello?name=again", 302)


@site.get("/no-content")
def no_content():
    return HTTPResponse(status=204)


@site.get("/error")
def error():
    raise RuntimeError("this view fails on purpose")


app = site
validated = common.validated(app)
linted = common.linted(app)
