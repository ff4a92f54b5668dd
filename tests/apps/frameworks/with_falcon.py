# SPDX-License-Identifier: MIT
"""The application with Falcon."""
import falcon
from falcon import media

from . import common


def several(values):
    return {key: value if isinstance(value, list) else [value] for key, value in values.items()}


class Hello:
    def on_get(self, request, response):
        response.content_type = "text/plain; charset=utf-8"
        response.text = f"Hello, {request.get_param('name', default='you')}!"

    on_post = on_get


class Echo:
    def on_get(self, request, response):
        response.media = {
            "method": request.method,
            "query": several(request.params),
            "url": request.uri.partition("?")[0],
            "prefix": request.root_path,
            "path": request.path,
            "secure": request.scheme == "https",
            "address": request.remote_addr,
        }


class Named:
    def on_get(self, request, response, name):
        response.media = {"name": name}


class Form:
    def on_post(self, request, response):
        fields, files = {}, {}
        got = request.get_media()
        if isinstance(got, dict):
            fields = several(got)
        else:
            for part in got:
                if part.filename is None:
                    fields.setdefault(part.name, []).append(part.text)
                else:
                    files[part.name] = common.described_file(part.filename, part.stream)
        response.media = {"fields": fields, "files": files}


class Upload:
    def on_post(self, request, response):
        response.media = {
            **common.digest(request.bounded_stream),
            "content_length": request.env.get("CONTENT_LENGTH"),
        }

    on_put = on_post


class Json:
    def on_post(self, request, response):
        response.media = {"got": request.get_media()}


class File:
    def on_get(self, request, response):
        path = common.file_of(int(request.get_param("size", default=common.DEFAULT_SIZE)))
        response.content_type = "application/octet-stream"
        response.set_stream(path.open("rb"), path.stat().st_size)

    on_head = on_get


class Stream:
    def on_get(self, request, response):
        response.content_type = "text/plain"
        response.stream = common.stream_lines(request.get_param_as_int("lines", default=5))

    on_head = on_get


class Blocks:
    def on_get(self, request, response):
        response.stream = common.blocks_of(request.get_param_as_int("number"))


class Cookies:
    def on_get(self, request, response):
        response.media = request.cookies
        response.set_cookie("first", "1", path="/", secure=False)
        response.set_cookie("second", "2", path="/", secure=False)


class Conditional:
    def on_get(self, request, response):
        response.etag = "v1"
        if "v1" in (request.if_none_match or []):  # compared weakly: a tag is a str
            response.status = falcon.HTTP_304
        else:
            response.content_type = "text/plain"
            response.text = "unchanged"


class Redirect:
    def on_get(self, request, response):
        raise falcon.HTTPFound(request.root_path + "/hello?name=again")

    on_post = on_get


class NoContent:
    def on_get(self, request, response):
        response.status = falcon.HTTP_204


class Error:
    def on_get(self, request, response):
        raise RuntimeError("this view fails on purpose")


Hello.on_head = Hello.on_get
app = falcon.App()
app.req_options.strip_url_path_trailing_slash = False
app.req_options.auto_parse_qs_csv = False
app.req_options.keep_blank_qs_values = True
app.req_options.media_handlers[falcon.MEDIA_MULTIPART] = media.MultipartFormHandler()
for route, resource in {
    "/hello": Hello,
    "/echo": Echo,
    "/path/{name}": Named,
    "/form": Form,
    "/upload": Upload,
    "/json": Json,
    "/file": File,
    "/stream": Stream,
    "/blocks": Blocks,
    "/cookies": Cookies,
    "/conditional": Conditional,
    "/redirect": Redirect,
    "/no-content": NoContent,
    "/error": Error,
}.items():
    app.add_route(route, resource())
validated = common.validated(app)
linted = common.linted(app)
