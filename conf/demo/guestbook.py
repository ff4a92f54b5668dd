# SPDX-License-Identifier: MIT
"""The demo site of cgunicorn: a guestbook with files to share, and a look at the server behind it.

What it keeps lies in $STATE_DIRECTORY, which systemd gives to every site, else in the directory for temporary files."""
import os
import secrets
import sqlite3
import tempfile
import time
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

from flask import (Flask, Response, abort, flash, redirect, render_template, request, send_from_directory, session,
                   url_for)
from werkzeug.utils import secure_filename

N_ENTRIES_SHOWN = 30
N_FILES_KEPT = 20
CLOCK_SECONDS = 15

STATE = Path(os.environ.get("STATE_DIRECTORY") or Path(tempfile.gettempdir()) / f"cgunicorn-demo-{os.getuid()}")
FILES = STATE / "files"
LOADED_AT = datetime.now()


def secret_key():
    """The same for all workers and across restarts: whoever comes first makes the file, complete at once by link(2)."""
    path = STATE / "secret-key"
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=STATE) as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            try:
                os.link(file.name, path)
            except FileExistsError:
                pass
    return path.read_bytes()


def database():
    connection = sqlite3.connect(STATE / "guestbook.sqlite", timeout=10)
    connection.row_factory = sqlite3.Row
    return closing(connection)


def create_app():
    FILES.mkdir(mode=0o700, parents=True, exist_ok=True)
    with database() as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, author TEXT, message TEXT, written REAL)")
    application = Flask(__name__)
    application.config.update(
        SECRET_KEY=secret_key(), SESSION_COOKIE_SAMESITE="Lax", MAX_CONTENT_LENGTH=5 * 1024 * 1024)
    return application


app = create_app()


def process_title():
    """What ps(1) shows of this process: which worker of which generation it is."""
    return Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def kept_files():
    """Name and size, newest first. Another worker may remove a file meanwhile."""
    found = []
    for path in FILES.iterdir():
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime, path.name, status.st_size))
    return [(name, size) for _, name, size in sorted(found, reverse=True)]


@app.template_filter("moment")
def moment(seconds):
    return datetime.fromtimestamp(seconds).strftime("%-d %B %Y, %H:%M")


@app.get("/")
def index():
    with database() as db:
        entries = db.execute("SELECT * FROM entry ORDER BY id DESC LIMIT ?", (N_ENTRIES_SHOWN,)).fetchall()
    server = {
        "Server": request.environ.get("SERVER_SOFTWARE", ""),
        "Process": f"{process_title()} (pid {os.getpid()})",
        "Code loaded": LOADED_AT.strftime("%-d %B %Y, %H:%M:%S"),
        "Concurrency": ("several threads" if request.environ["wsgi.multithread"] else "one thread") + ", "
                              + ("several processes" if request.environ["wsgi.multiprocess"] else "one process"),
        "Request": f"{request.method} {request.full_path.rstrip('?')} {request.environ['SERVER_PROTOCOL']}",
        "Your address": request.environ.get("REMOTE_ADDR") or "a Unix socket",
    }
    return render_template("index.html", entries=entries, files=kept_files(), server=server,
                           headers=sorted(request.headers.items()), author=session.get("author", ""))


@app.post("/entries")
def add_entry():
    author = request.form.get("author", "").strip()[:60] or "somebody"
    message = request.form.get("message", "").strip()[:1000]
    if not message:
        flash("An entry needs a few words.")
    else:
        session["author"] = author
        with database() as db, db:
            db.execute("INSERT INTO entry (author, message, written) VALUES (?, ?, ?)",
                       (author, message, time.time()))
    return redirect(url_for("index") + "#guestbook", 303)


@app.post("/files")
def add_file():
    upload = request.files.get("file")
    name = secure_filename(upload.filename) if upload else ""
    if not name:
        flash("Choose a file first.")
    else:
        upload.save(FILES / name)
        for old, _ in kept_files()[N_FILES_KEPT:]:
            (FILES / old).unlink(missing_ok=True)
    return redirect(url_for("index") + "#files", 303)


@app.get("/files/<name>")
def get_file(name):
    if name != secure_filename(name):
        abort(404)
    return send_from_directory(FILES, name, as_attachment=True)


@app.get("/clock")
def clock():
    """A response that is made while it is read: server-sent events, one a second."""
    def ticks():
        yield "retry: 500\n\n"
        for _ in range(CLOCK_SECONDS):
            yield f"data: {datetime.now():%H:%M:%S}\n\n"
            time.sleep(1)
    return Response(ticks(), mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


@app.errorhandler(413)
def too_large(_error):
    flash("Files may have 5 MB at most.")
    return redirect(url_for("index") + "#files", 303)
