# SPDX-License-Identifier: MIT
"""The application with Flask."""
from flask import Flask, Response, jsonify, redirect, request, send_file

from . import common

site = Flask(__name__)


@site.route("/hello", methods=["GET", "POST"])
def hello():
    return Response(f"Hello, {request.args.get('name', 'you')}!", mimetype="text/plain")


@site.route("/echo")
def echo():
    return jsonify(
        method=request.method,
        query=request.args.to_dict(flat=False),
        url=request.base_url,
        prefix=request.script_root,
        path=request.path,
        secure=request.is_secure,
        address=request.remote_addr,
    )


@site.route("/path/<name>")
def named(name):
    return jsonify(name=name)


@site.route("/form", methods=["POST"])
def form():
    return jsonify(
        fields=request.form.to_dict(flat=False),
        files={key: common.described_file(file.filename, file.stream) for key, file in request.files.items()},
    )


@site.route("/upload", methods=["POST", "PUT"])
def upload():
    return jsonify(**common.digest(request.stream), content_length=request.environ.get("CONTENT_LENGTH"))


@site.route("/json", methods=["POST"])
def as_json():
    return jsonify(got=request.get_json())


@site.route("/file")
def file():
    size = int(request.args.get("size", common.DEFAULT_SIZE))
    return send_file(common.file_of(size), mimetype="application/octet-stream")


@site.route("/stream")
def stream():
    return Response(common.stream_lines(int(request.args.get("lines", "5"))), mimetype="text/plain")


@site.route("/blocks")
def blocks():
    return Response(common.blocks_of(int(request.args["number"])))


@site.route("/cookies")
def cookies():
    response = jsonify(**request.cookies)
    response.set_cookie("first", "1")
    response.set_cookie("second", "2", httponly=True)
    return response


@site.route("/conditional")
def conditional():
    response = Response("unchanged", mimetype="text/plain")
    response.set_etag("v1")
    return response.make_conditional(request)


@site.route("/redirect", methods=["GET", "POST"])
def redirected():
    return redirect(request.script_root + "/hello?name=again")


@site.route("/no-content")
def no_content():
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


@site.route("/error")
def error():
    raise RuntimeError("this view fails on purpose")


app = site.wsgi_app
validated = common.validated(app)
linted = common.linted(app)
