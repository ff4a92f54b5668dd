# SPDX-License-Identifier: MIT
"""The application with Pyramid."""
from pyramid.config import Configurator
from pyramid.response import FileResponse, Response

from . import common
from .webob_views import VIEWS


def named(request):
    return Response(json={"name": request.matchdict["name"]})


def file(request):
    path = common.file_of(int(request.GET.get("size", common.DEFAULT_SIZE)))
    return FileResponse(str(path), request=request, content_type="application/octet-stream")


def make_app():
    with Configurator() as config:
        for name, view in {**VIEWS, "file": file}.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name)
        config.add_route("path", "/path/{name}")
        config.add_view(named, route_name="path")
        return config.make_wsgi_app()


app = make_app()
validated = common.validated(app)
linted = common.linted(app)
