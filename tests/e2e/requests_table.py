# SPDX-License-Identifier: MIT
"""Requests that must be refused, and with which status: those of the tables in tests/http, and more of their kinds,
from RFC 9110, RFC 9112, and what other servers had CVEs for. In the texts "~" stands for MARK, by which a test can see
whether a response repeats what was sent."""
import re
import sys

from harness import APPS

sys.path.insert(0, str(APPS.parent / "http"))
# pylint: disable=wrong-import-position
from player import read_tables

MARK = b"zq7mark"
HOST = "Host: example.org\r\n"
POST = f"POST /~ HTTP/1.1\r\n{HOST}"


def raw(text):
    return text


def line(text):
    return f"{text}\r\n{HOST}\r\n"


def version(text):
    return line(f"GET /~ {text}")


def field(text):
    return f"GET /~ HTTP/1.1\r\n{HOST}{text}\r\n\r\n"


def first_field(text):
    return f"GET /~ HTTP/1.1\r\n{text}\r\n\r\n"


def host(text):
    return first_field(f"Host: {text}")


def five(text):
    """A request with five octets behind its head."""
    return f"{POST}{text}\r\n\r\nhello"


def length(text):
    return five(f"Content-Length: {text}")


def framed(text):
    """A request with an empty chunked body behind its head."""
    return f"{POST}{text}\r\n\r\n0\r\n\r\n"


def coding(text):
    return framed(f"Transfer-Encoding: {text}")


def chunks(text):
    return f"{POST}Transfer-Encoding: chunked\r\n\r\n{text}"


def size(text):
    return chunks(f"{text}\r\nhello\r\n0\r\n\r\n")


def trailer(text):
    return chunks(f"5\r\nhello\r\n0\r\n{text}\r\n\r\n")


TOO_MUCH = {400, 413, 414, 431}
TABLE = [
    # the request line
    ("9110 5.6.2: method", {400}, line, [
        "G{T /~ HTTP/1.1", "GE/T /~ HTTP/1.1", "G\xc9T /~ HTTP/1.1", "M" * 100 + " /~ HTTP/1.1",
    ]),
    ("9110 9.1: method", {501}, line, [
        "ZQ7MARK / HTTP/1.1", "get /~ HTTP/1.1", "CONNECT example.org:443 HTTP/1.1",
    ]),
    ("9112 3: blanks", {400}, line, ["GET\x0b/~ HTTP/1.1", "GET /a ~ HTTP/1.1"]),
    ("9112 3: parts", {400}, line, ["GET /~", "GET /~ ", "GET  HTTP/1.1", "GET ~ HTTP/1.1"]),
    ("9112 3.2: target", {400}, line, [
        "OPTIONS ** HTTP/1.1", "GET /~#part HTTP/1.1", "GET /~?a#part HTTP/1.1", "GET ????? HTTP/1.1",
    ]),
    ("9112 3.2: target", {400}, line, [
        f"GET /~{chr(octet)} HTTP/1.1" for octet in b"\x00\x01\x08\x1b\x7f\x80\xa0\xe9\xff"
    ]),
    ("9110 4.2: absolute-form", {400}, line, [
        "GET http://user@example.org/~ HTTP/1.1", "GET http://u:p@example.org/~ HTTP/1.1",
        "GET http:///~ HTTP/1.1",
    ]),
    ("9112 2.3: version", {400, 505}, version, [
        "HTTP/11.1", "HTTP/1.01", "HTTP/", "HTTP", "http/1.1", "Http/1.1", "HTTP/1.1a", "HTTP/1.a",
        "HTTP/a.1", "XTTP/1.1", "HTTP/1.-1", "/1.1",
    ]),
    # the ends of lines
    ("9112 2.2: bare LF", {400}, raw, ["GET /~ HTTP/1.1\nHost: example.org\n\n"]),
    ("9112 2.2: bare CR", {400}, raw, [f"GET /~\rx HTTP/1.1\r\n{HOST}\r\n"]),
    ("9112 2.2: bare CR or LF", {400}, field, ["X-A: 1\nX-B: 2", "X-A: 1\rX-B: 2", "X-A: 1\r"]),
    ("CVE-2023-30589", {400}, field, ["X-A:\rX-B: 2"]),
    ("CVE-2025-23167", {400}, raw, [f"GET /~ HTTP/1.1\r\n{HOST}\rX\r\n\r\n"]),
    # Host
    ("9112 3.2: Host", {400}, first_field, [
        "X-A: 1", f"{HOST}Host: example.com", f"{HOST}hOST: example.com",
    ]),
    ("9112 3.2: Host", {400}, raw, ["GET http://example.org/~ HTTP/1.1\r\n\r\n", "GET /~ HTTP/1.1\r\n\r\n"]),
    ("9112 3.2: Host", {400}, host, [
        "exam ple.org", "user@example.org", "example.org/", "example.org/x", "example.org?x",
        "example.org#x", "example.org:port", "example.org:80x", "::1]", "[zz]", "exa\tmple",
        "example.org\\x", "<example>", '"example"', "exam\xe9ple.org",
    ]),
    # fields
    ("9112 5.1: blank before the colon", {400}, field, ["X-A : 1", "X-A\t: 1"]),
    ("CVE-2021-22959", {400}, five, ["Content-Length : 5"]),
    ("9112 5.1: blank before the colon", {400}, framed, ["Transfer-Encoding : chunked"]),
    ("9112 5.2: obs-fold", {400}, field, ["X-A: 1\r\n 2", "X-A: 1\r\n\t2", "X-A:\r\n 2", " "]),
    ("9112 5.2: obs-fold", {400}, five, ["Content-Length:\r\n 5"]),
    ("CVE-2024-27982", {400}, five, [" Content-Length: 5"]),
    ("9110 5.1: name", {400}, field, [": 1", "X-A", "X-A 1", "X A: 1"]),
    ("9110 5.1: name", {400}, field, [
        f"X-{chr(octet)}A: 1" for octet in b'\x00\x01\x0b\x1b\x7f\x80\xe9"(),/;<=>?@[\\]{}'
    ]),
    ("9110 5.5: value", {400}, field, [
        f"X-A: 1{chr(octet)}2" for octet in b"\x00\x01\x08\x0b\x0c\x1b\x1f\x7f"
    ]),
    # Content-Length
    ("9112 6.3: Content-Length", {400}, length, [
        "5_0", "five", "5, 6", "\xb2", "5\xa0", "5\x0b", "5\x00", "5\r\nContent-Length: 0",
        "5\r\ncontent-length: 4",
    ]),
    ("9110 8.6: Content-Length", {400, 413}, length, ["1" * 400]),
    ("9110 8.6: Content-Length", {413}, length, ["9223372036854775807"]),
    # Transfer-Encoding
    ("9112 6.1: both", {400}, five, [
        "Transfer-Encoding:\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: x",
    ]),
    ("9112 6.3: Transfer-Encoding", {400}, coding, ["chunked\xa0", "cow", "chu\x00nked", "=chunked"]),
    ("9112 6.1: unknown coding", {501}, coding, ["deflate,chunked", "br , chunked"]),
    # chunks
    ("9112 7.1: chunk size", {400}, size, ["x5", "0_5", "5g", "5.", "\xb5", "\x0b5", "fffffffffffffffff"]),
    ("9112 7.1: chunk size", {400, 413}, size, ["ffffffffffffffff", "8000000000000000", "7fffffffffffffff"]),
    ("erratum 7633: ends of chunk lines", {400}, chunks, [
        "5\r\nhello world\r\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\n\rX",
    ]),
    ("9112 7.1.1: chunk extension", {400}, size, ["5;a\x00=b", "5;a\nb", "5;a\rb"]),
    ("CVE-2024-22019, CVE-2023-39326", TOO_MUCH, chunks, [
        f"5;a={'b' * 100000}\r\nhello\r\n0\r\n\r\n", "1;aaaaaaaa=bbbbbbbb\r\nx\r\n" * 5000 + "0\r\n\r\n",
    ]),
    ("9112 7.1.2: trailer", {400}, trailer, [
        "X-A", "X-A : 1", "X A: 1", "X-A: 1\r\n 2", "X-A: 1\n", "X-A: \x00", ": 1",
    ]),
    ("CVE-2023-41419", {400}, trailer, ["GET /x HTTP/1.1\r\nHost: a"]),
    ("9112 7.1.2: trailers", TOO_MUCH, trailer, [
        "X-A: 1234567890\r\n" * 12000 + "X-B: 1", "X-A: " + "1" * 200000,
    ]),
    # noise
    ("9113 3.4: HTTP/2", {400, 505}, raw, [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    ]),
    ("a response", {400, 505}, raw, ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]),
    ("TLS", {400}, raw, ["\x16\x03\x01\x00\xc2\x01\x00\x00\xbe\x03\x03" + "\x5a" * 200 + "\n"]),
    ("SSH", {400}, raw, ["SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"]),
    ("NUL", {400}, raw, ["\0" * 100 + "\n"]),
    ("9112 2.2: empty lines", TOO_MUCH, raw, ["\r\n" * 100000]),
]


def of_the_tables():
    """What is refused in one piece, with a body, and with the limits as they are."""
    for case in read_tables():
        is_plain = not case.limits and len(case.pieces) == 1 and not case.half_closes
        if case.is_refused and is_plain and not case.octets.startswith(b"HEAD "):
            octets = re.sub(rb"\A(\w+ /)(?=[ ?])", rb"\1" + MARK, case.octets)
            yield f"{case.topic}: {case.title}", octets, {int(case.expected.status)}


# (name, octets, statuses)
REFUSED = [
    *of_the_tables(),
    *(
        (f"{section}: {text[:60]!r}", build(text).encode("latin-1").replace(b"~", MARK), statuses)
        for section, statuses, build, texts in TABLE
        for text in texts
    ),
]
