# SPDX-License-Identifier: MIT
"""Uploads of 1 GB and downloads of 5 GB: what they take of the worker's memory and of its only thread, which must stay
free for others while octets arrive or leave."""
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from client import chunk, request
from framework_table import BOUNDARY, MULTIPART
from harness import FREE_THREADED, SANITIZED, running

UPLOAD = 10**9
DOWNLOAD = 5 * 10**9
BLOCKS = 1000  # of 1 MiB each: less than limits.response_file
LIMIT = 1 << 30  # limits.body by default
GROWTH_KIB = 2048 if not FREE_THREADED else 6144  # whose allocator keeps what was freed for a while
ROOM = 3 * 10**9  # for spooled bodies
DIRECTORY = tempfile.gettempdir()
# For what is sent, which is nearly all holes: to read these costs nothing there, while a disk's would go through the page
# cache, gigabytes of it.
SPARSE = "/dev/shm" if os.access("/dev/shm", os.W_OK) else DIRECTORY

pytestmark = [
    pytest.mark.skipif(
        SANITIZED, reason="gigabytes are slow in a sanitized build, and its memory is not the server's"
    ),
    pytest.mark.skipif(
        shutil.disk_usage(DIRECTORY).free < ROOM, reason=f"less than 3 GB are free in {DIRECTORY}"
    ),
]


@pytest.fixture(scope="module")
def files():
    """Where the applications make what they send."""
    with tempfile.TemporaryDirectory(dir=SPARSE) as directory:
        yield directory


@pytest.fixture(scope="module")
def site(request, files):
    """One worker with one thread; the digest of a gigabyte may take its time on a loaded machine."""
    app = f"frameworks.with_{request.param}:app"
    with running(app, {"timeouts_request": "0"}, environment={"STATE_DIRECTORY": files}) as server:
        yield server


def frameworks(*names):
    return pytest.mark.parametrize("site", names, indirect=True)


@pytest.fixture(scope="module")
def source():
    """(file, SHA-256) of what is uploaded; not all zeros, and sparse."""
    with tempfile.TemporaryFile(dir=SPARSE) as file:
        file.truncate(UPLOAD)
        for offset in range(0, UPLOAD, 10**7):
            os.pwrite(file.fileno(), offset.to_bytes(8, "big"), offset)
        yield file, hashlib.file_digest(file, "sha256").hexdigest()


class Memory:
    """Of the worker, in KiB: its peak since this was made, less what there was then."""

    def __init__(self, site):
        self.directory = next(
            Path(f"/proc/{pid}")
            for pid in site.pids()
            if b"worker 0" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        (self.directory / "clear_refs").write_text("5")  # resets VmHWM, proc(5)
        self.before = self.field("VmRSS")

    def field(self, name):
        return int(re.search(rf"{name}:\s+(\d+) kB", (self.directory / "status").read_text())[1])

    def assert_small(self):
        grown = self.field("VmHWM") - self.before
        print(f"{grown} KiB more than {self.before} KiB")
        assert grown < GROWTH_KIB


def warm(site):
    """What the first requests of each kind cost once."""
    for target in ("/hello", "/file?size=100000", "/blocks?number=0"):
        assert site.get(target).status == 200
    assert site.get("/upload", method="POST", body=b"x" * 100000).status == 200
    form = site.get("/form", *MULTIPART, method="POST", body=f"--{BOUNDARY}--\r\n".encode())
    assert form.status == 200


def assert_free(site):
    assert site.get("/hello").body == b"Hello, you!"


def answered_during(site, transfer):
    """How many requests are answered while transfer() runs in a thread."""
    errors, n = [], 0

    def run():
        try:
            transfer()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with site.connect() as connection:
        while thread.is_alive():
            assert connection.request(target="/hello").status == 200
            n += thread.is_alive()
            thread.join(0.005)  # the transfer needs the processors as well
    thread.join()
    if errors:
        raise errors[0]
    return n


@frameworks("django")
def test_upload(site, source):
    file, sha256 = source
    warm(site)
    memory = Memory(site)
    with site.connect() as connection:
        connection.send(request("POST", "/upload", f"Content-Length: {UPLOAD}"))
        half = UPLOAD // 2
        assert answered_during(site, lambda: connection.socket.sendfile(file, 0, half)) > 1
        assert_free(site)
        assert answered_during(site, lambda: connection.socket.sendfile(file, half, UPLOAD - half)) > 1
        answer = json.loads(connection.read_response().body)
    memory.assert_small()
    assert (answer["size"], answer["sha256"]) == (UPLOAD, sha256)


@frameworks("flask")
def test_chunked_upload(site, source):
    file, sha256 = source
    size = 10**7
    warm(site)
    memory = Memory(site)
    with site.connect() as connection:

        def send():
            for offset in range(0, UPLOAD, size):
                connection.send(chunk(os.pread(file.fileno(), size, offset)))

        connection.send(request("POST", "/upload", "Transfer-Encoding: chunked"))
        assert answered_during(site, send) > 1
        assert_free(site)
        connection.send(b"0\r\n\r\n")
        answer = json.loads(connection.read_response().body)
    memory.assert_small()
    assert (answer["size"], answer["sha256"]) == (UPLOAD, sha256)


@frameworks("flask")
def test_form(site, source):
    """What comes of a form in a browser; the framework makes a file of it once more."""
    file, sha256 = source
    part = 'Content-Disposition: form-data; name="file"; filename="large"\r\nContent-Type: application/octet-stream'
    start, end = f"--{BOUNDARY}\r\n{part}\r\n\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    length = len(start) + UPLOAD + len(end)
    warm(site)
    memory = Memory(site)
    with site.connect() as connection:
        connection.send(request("POST", "/form", *MULTIPART, f"Content-Length: {length}") + start)
        assert answered_during(site, lambda: connection.socket.sendfile(file, 0, UPLOAD)) > 1
        connection.send(end)
        answer = json.loads(connection.read_response().body)
    memory.assert_small()
    assert answer["files"]["file"] == {"filename": "large", "size": UPLOAD, "sha256": sha256}


@frameworks("flask")
def test_limit_of_uploads(site):
    """limits.body, refused before any of it is sent."""
    with site.connect() as connection:
        connection.send(request("POST", "/upload", f"Content-Length: {LIMIT}", "Expect: 100-continue"))
        assert connection.read_response().status == 100
    chunked = request("POST", "/upload", "Transfer-Encoding: chunked") + b"%x\r\n" % (LIMIT + 1)
    for octets in (request("POST", "/upload", f"Content-Length: {LIMIT + 1}"), chunked):
        with site.connect() as connection:
            connection.send(octets)
            assert connection.read_response().status == 413
            connection.assert_closed()


@frameworks("webob", "flask", "django")
def test_download(site):
    """By sendfile(2): wsgi.file_wrapper, send_file, FileResponse. The file says its own offsets at some places, also
    beyond 4 GiB (tests/apps/frameworks/common.py)."""
    marks = [0, (1 << 32) - 8, 1 << 32, DOWNLOAD - 8]
    warm(site)
    memory = Memory(site)
    with site.connect() as connection:
        connection.send(request(target=f"/file?size={DOWNLOAD}"))
        response = connection.read_head()
        assert response.header("Content-Length") == str(DOWNLOAD)
        assert_free(site)
        at, got, n_answered = 0, [], 0
        for mark in marks:
            n_answered += answered_during(site, lambda: connection.skip(mark - at))
            assert_free(site)
            got.append(int.from_bytes(connection.read(8), "big"))
            at = mark + 8
        assert got == marks and n_answered > 10
        assert connection.request(target="/hello").status == 200
    memory.assert_small()


@frameworks("flask")
def test_download_of_a_generator(site):
    """Its blocks go to a file, as fast as it makes them: the thread is free before the client has taken anything."""
    warm(site)
    memory = Memory(site)
    with site.connect() as connection:
        connection.send(request(target=f"/blocks?number={BLOCKS}"))
        assert connection.read_head().status == 200
        assert_free(site)
        total = 0
        while size := connection.skip_chunk():
            total += size
        assert total == BLOCKS << 20
    memory.assert_small()
