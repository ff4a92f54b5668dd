# SPDX-License-Identifier: MIT
"""The application with WebOb, without a framework around it."""
from webob import Response
from webob.dec import wsgify
from webob.exc import HTTPNotFound
from webob.static import FileApp

from . import common
from .webob_views import VIEWS


@wsgify
def app(request):
    name, _, rest = request.path_info.removeprefix("/").partition("/")
    if name == "path":
        return Response(json={"name": rest})
    if name == "file":
        path = common.file_of(int(request.GET.get("size", common.DEFAULT_SIZE)))
        return FileApp(str(path), content_type="application/octet-stream")
    if name not in VIEWS:
        raise HTTPNotFound()
    return VIEWS[name](request)


validated = common.validated(app)
linted = common.linted(app)
