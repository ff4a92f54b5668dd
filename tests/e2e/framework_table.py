# SPDX-License-Identifier: MIT
"""What the applications of tests/apps/frameworks are asked, and the one answer that each framework must give, behind
whichever server. Used by test_frameworks.py, and by tests/frameworks/compare for other servers."""
import hashlib
import json
from dataclasses import dataclass, field

from client import chunked, request

FRAMEWORKS = ("django", "flask", "bottle", "falcon", "pyramid", "webob")
JSON = ("Content-Type: application/json",)
FORM = ("Content-Type: application/x-www-form-urlencoded",)
CHUNKED = ("Transfer-Encoding: chunked",)
DATA = bytes(range(256)) * 1200  # more than limits.body_memory of the test
BOUNDARY = "limit-of-parts"
MULTIPART = (f"Content-Type: multipart/form-data; boundary={BOUNDARY}",)


@dataclass
class Exchange:
    """A request, and what its response must be; json: what its body means; headers: None for one that must not be
    there; cookies: of Set-Cookie."""

    name: str
    octets: bytes
    status: int = 200
    method: str = "GET"
    body: bytes | None = None
    json: object = None
    headers: dict = field(default_factory=dict)
    cookies: list = field(default_factory=list)

    def faults(self, response):
        """What is wrong with the response, as text."""
        wrong = [] if response.status == self.status else [f"status {response.status}, not {self.status}"]
        if wrong:
            return wrong
        for name, value in self.headers.items():
            got = ", ".join(response.values(name)) or None
            if (
                got is not None and name == "Location"
            ):  # absolute in some frameworks, RFC 9110 §10.2.2 has both
                got = got.removeprefix("http://example.org")
            if got != value:
                wrong.append(f"{name}: {got}, not {value}")
        if self.body is not None and response.body != self.body:
            wrong.append(f"body of {len(response.body)} octets {response.body[:60]}, not of {len(self.body)}")
        if self.json is not None:
            wrong += self.json_faults(response.body)
        got = [value.partition(";")[0] for value in response.values("Set-Cookie")]
        if got != self.cookies:
            wrong.append(f"Set-Cookie {got}, not {self.cookies}")
        return wrong

    def json_faults(self, body):
        try:
            got = json.loads(body)
        except ValueError:
            return [f"no JSON: {body[:60]}"]
        return [
            f"{key} is {got.get(key)!r}, not {value!r}"
            for key, value in self.json.items()
            if got.get(key) != value
        ]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def digest(data):
    return {"size": len(data), "sha256": sha256(data)}


def file_content(size):
    """What common.file_of() makes, below 4 GiB."""
    content = bytearray(size)
    for offset in (0, size - 8):
        if 0 <= offset <= size - 8:
            content[offset : offset + 8] = offset.to_bytes(8, "big")
    return bytes(content)


def multipart(data):
    parts = [
        'Content-Disposition: form-data; name="name"\r\n\r\nZo\xeb'.encode(),
        b'Content-Disposition: form-data; name="name"\r\n\r\nagain',
        b'Content-Disposition: form-data; name="file"; filename="data.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + data,
    ]
    limit = b"--" + BOUNDARY.encode()
    return b"".join(limit + b"\r\n" + part + b"\r\n" for part in parts) + limit + b"--\r\n"


def text(name, octets, expected, /, **more):
    return Exchange(name, octets, body=expected.encode(), **more)


def echo(name, octets, /, **expected):
    return Exchange(name, octets, json=expected)


def post(target, *fields, body):
    return request("POST", target, *fields, body=body)


def post_chunked(target, *fields, body):
    return request("POST", target, *CHUNKED, *fields) + chunked(body, 50000)


def head(name, target, status=200, **headers):
    return Exchange(name, request("HEAD", target), status, method="HEAD", body=b"", headers=headers)


FIELDS = {"fields": {"name": ["Zo\xeb", "again"], "other": ["a b&c"]}, "files": {}}
URLENCODED = b"name=Zo%C3%AB&name=again&other=a+b%26c"
WITH_FILE = {
    "fields": {"name": ["Zo\xeb", "again"]},
    "files": {"file": {"filename": "data.bin", **digest(DATA)}},
}
LINES = "".join(f"line {line}\n" for line in range(1000)).encode()
V1 = {"ETag": '"v1"'}
NOT_MODIFIED = {**V1, "Content-Length": None}  # RFC 9110 §8.6: 0 would be wrong

TABLE = [
    # targets
    text(
        "page", request(target="/hello"), "Hello, you!", headers={"Content-Type": "text/plain; charset=utf-8"}
    ),
    text("query", request(target="/hello?name=J%C3%A9r%C3%B4me+%26+co"), "Hello, J\xe9r\xf4me & co!"),
    echo(
        "query, keys repeated, empty and not ASCII",
        request(target="/echo?a=1&a=2&%C3%BC=%C3%A9&empty=&plus=a+b%2Bc"),
        query={"a": ["1", "2"], "\xfc": ["\xe9"], "empty": [""], "plus": ["a b+c"]},
        method="GET",
        path="/echo",
        prefix="",
        secure=False,
        address="127.0.0.1",
    ),
    echo("path not ASCII", request(target="/path/%C3%A9t%C3%A9"), name="\xe9t\xe9"),
    echo("path with a blank and a plus", request(target="/path/a%20b+c"), name="a b+c"),
    echo("absolute-form", request(target="http://example.org/echo?a=1"), url="http://example.org/echo"),
    echo(
        "Host with a port",
        request(target="/echo", host="example.org:8080"),
        url="http://example.org:8080/echo",
    ),
    # bodies
    Exchange("form", post("/form", *FORM, body=URLENCODED), json=FIELDS),
    Exchange("form, chunked", post_chunked("/form", *FORM, body=URLENCODED), json=FIELDS),
    Exchange("form with a file", post("/form", *MULTIPART, body=multipart(DATA)), json=WITH_FILE),
    Exchange(
        "form with a file, chunked", post_chunked("/form", *MULTIPART, body=multipart(DATA)), json=WITH_FILE
    ),
    Exchange("upload", post("/upload", body=DATA), json={**digest(DATA), "content_length": str(len(DATA))}),
    Exchange("upload, chunked", post_chunked("/upload", body=DATA), json=digest(DATA)),
    Exchange("upload of nothing", post("/upload", body=b""), json=digest(b"")),
    Exchange("upload of nothing, chunked", post_chunked("/upload", body=b""), json=digest(b"")),
    Exchange("upload by PUT", request("PUT", "/upload", body=b"hello"), json=digest(b"hello")),
    Exchange("JSON", post("/json", *JSON, body='{"a": "\xe9"}'.encode()), json={"got": {"a": "\xe9"}}),
    Exchange("JSON, chunked", post_chunked("/json", *JSON, body=b"[1, 2]"), json={"got": [1, 2]}),
    text("body that the view does not read", post("/hello", body=DATA), "Hello, you!"),
    text("chunked body that the view does not read", post_chunked("/hello", body=DATA), "Hello, you!"),
    # responses
    Exchange(
        "file",
        request(target="/file?size=300000"),
        body=file_content(300000),
        headers={"Content-Length": "300000"},
    ),
    Exchange("file, empty", request(target="/file?size=0"), body=b"", headers={"Content-Length": "0"}),
    Exchange("stream", request(target="/stream?lines=1000"), body=LINES, headers={"Content-Length": None}),
    Exchange(
        "stream to HTTP/1.0",
        request(target="/stream?lines=1000", version="1.0"),
        body=LINES,
        headers={"Transfer-Encoding": None},
    ),
    Exchange("redirection", request(target="/redirect"), 302, headers={"Location": "/hello?name=again"}),
    Exchange(
        "redirection of a POST", post("/redirect", body=DATA), 302, headers={"Location": "/hello?name=again"}
    ),
    Exchange("page that is not there", request(target="/nothing"), 404),
    Exchange("view that fails", request(target="/error"), 500),
    Exchange("no content", request(target="/no-content"), 204, body=b"", headers={"Content-Length": None}),
    head("HEAD of a page", "/hello"),
    head("HEAD of a file", "/file?size=300000", **{"Content-Length": "300000"}),
    head("HEAD of a stream", "/stream?lines=1000"),
    head("HEAD of what is not there", "/nothing", 404),
    # cookies, conditions
    Exchange(
        "cookies",
        request("GET", "/cookies", "Cookie: a=1; b=2"),
        json={"a": "1", "b": "2"},
        cookies=["first=1", "second=2"],
    ),
    Exchange(
        "cookies in two lines",
        request("GET", "/cookies", "Cookie: a=1", "Cookie: b=2"),
        json={"a": "1", "b": "2"},
        cookies=["first=1", "second=2"],
    ),
    Exchange("entity tag", request(target="/conditional"), body=b"unchanged", headers=V1),
    Exchange(
        "entity tag that matches",
        request("GET", "/conditional", 'If-None-Match: "v1"'),
        304,
        body=b"",
        headers=NOT_MODIFIED,
    ),
    Exchange(
        "one of several entity tags, in two lines",
        request("GET", "/conditional", 'If-None-Match: "v0"', 'If-None-Match: W/"v1"'),
        304,
        body=b"",
        headers=NOT_MODIFIED,
    ),
    Exchange(
        "entity tag that does not match",
        request("GET", "/conditional", 'If-None-Match: "v2"'),
        body=b"unchanged",
    ),
    # proxies
    echo(
        "proxy for TLS",
        request("GET", "/echo", "X-Forwarded-Proto: https"),
        secure=True,
        url="https://example.org/echo",
    ),
    echo("proxy's client", request("GET", "/echo", "X-Forwarded-For: 192.0.2.7"), address="192.0.2.7"),
    echo(
        "proxy with a prefix",
        request("GET", "/echo", "X-Forwarded-Prefix: /site"),
        prefix="/site",
        path="/echo",
        url="http://example.org/site/echo",
    ),
]
