# SPDX-License-Identifier: MIT
"""A small Flask application: sessions, a form with a CSRF token, files, streaming; its data in STATE_DIRECTORY."""
import hashlib
import io
import os
import secrets
import sqlite3
import time
from pathlib import Path

from flask import (
    Flask,
    Response,
    abort,
    g,
    jsonify,
    redirect,
    render_template_string,
    request,
    send_file,
    send_from_directory,
)
from flask import session
from werkzeug.utils import secure_filename

STATE = Path(os.environ.get("STATE_DIRECTORY", ".")).resolve()
UPLOADS = STATE / "uploads"
PAGE = """<!doctype html><title>Guest book</title>
<form method="post" enctype="multipart/form-data"><input type="hidden" name="csrfmiddlewaretoken" value="{{ token }}">
<input name="name"><input type="file" name="file"><button>Send</button></form>"""

app = Flask(__name__)
app.secret_key = "only for tests"


def database_connection():
    if "database" not in g:
        g.database = sqlite3.connect(STATE / "flask.sqlite3", timeout=30)
        g.database.execute("CREATE TABLE IF NOT EXISTS guests (name TEXT)")
    return g.database


@app.teardown_appcontext
def close_database(error):
    if "database" in g:
        g.pop("database").close()


@app.route("/")
def index():
    return render_template_string(
        "<!doctype html><title>Flask</title><h1>It works, {{ name }}.</h1>",
        name=request.args.get("name", "you"),
    )


@app.route("/counter")
def counter():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"], cookies=request.cookies)


@app.route("/guests", methods=["GET", "POST"])
def guests():
    if request.method == "GET":
        session["token"] = secrets.token_hex()
        return render_template_string(PAGE, token=session["token"])
    if request.form.get("csrfmiddlewaretoken", "") != session.get("token"):
        abort(403)
    session["name"] = request.form["name"]
    database_connection().execute("INSERT INTO guests VALUES (?)", (session["name"],))
    database_connection().commit()
    upload = request.files.get("file")
    if upload and upload.filename:
        UPLOADS.mkdir(exist_ok=True)
        upload.save(UPLOADS / secure_filename(upload.filename))
    return redirect("/thanks")


@app.route("/thanks")
def thanks():
    return render_template_string("Thank you, {{ name }}!", name=session.get("name", "?"))


@app.route("/download/<name>")
def download(name):
    return send_from_directory(UPLOADS, name, as_attachment=True)


@app.route("/static-file/<name>")
def static_file(name):
    return send_from_directory(Path(__file__).parent, name)


@app.route("/generated")
def generated():
    return send_file(io.BytesIO(b"generated\n" * 1000), download_name="generated.txt")


@app.route("/stream")
def stream():
    lines = int(request.args.get("lines", "5"))
    return Response((f"line {number}\n" for number in range(lines)), mimetype="text/plain")


@app.route("/raw", methods=["POST", "PUT"])
def raw():
    body = request.get_data()
    return jsonify(
        length=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        cookies=request.cookies,
        secure=request.is_secure,
        address=request.remote_addr,
    )


@app.route("/database")
def database():
    return jsonify(
        guests=database_connection().execute("SELECT count(*) FROM guests").fetchone()[0], state=str(STATE)
    )


@app.route("/conditional")
def conditional():
    response = Response("unchanged")
    response.set_etag("v1")
    return response.make_conditional(request)


@app.route("/failure")
def failure():
    raise RuntimeError("this view fails on purpose")


@app.route("/sleep")
def sleep():
    time.sleep(float(request.args.get("seconds", "0.1")))
    return "slept"
