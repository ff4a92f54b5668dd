# SPDX-License-Identifier: MIT
"""An HTTP/1.1 client for tests: sends what it is told, octet by octet if need be, and reads responses strictly, so
that a server's mistake is an error here and not smoothed over. Not for anything else."""
import re
import select
import socket
import struct

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) (\d{3}) ([\t\x20-\x7e\x80-\xff]*)\Z")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\Z")


class ProtocolError(AssertionError):
    """The server broke HTTP."""


class Truncated(ProtocolError):
    """The connection ended within a response; what came of its body is in `body`."""

    def __init__(self, message, response=None, body=b""):
        super().__init__(message)
        self.response = response
        self.body = body


class Response:
    def __init__(self, version, status, reason, headers):
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = b""

    def values(self, name):
        """The values of all fields of that name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        """The value of the only field of that name, or None."""
        values = self.values(name)
        assert len(values) <= 1, f"{len(values)} fields {name}"
        return values[0] if values else None

    @property
    def closes(self):
        """Whether the server says that the connection ends here (RFC 9112 §9.3)."""
        options = ",".join(self.values("Connection")).lower().replace(" ", "").split(",")
        return "close" in options or (self.version == "1.0" and "keep-alive" not in options)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]}>"


class Reader:
    """Takes responses apart. receive() gives the next octets, b"" at the end; without a source of its own there are but
    those in the buffer. may_close_unsaid: a body may go on up to the end of a connection that is not said to end."""

    def __init__(self, buffer=b"", may_close_unsaid=False):
        self.buffer = buffer
        self.may_close_unsaid = may_close_unsaid

    def receive(self):
        return b""

    def _fill(self):
        data = self.receive()
        self.buffer += data
        return bool(data)

    def at_end(self):
        """Whether the server has closed cleanly, with nothing left to read."""
        return not self.buffer and not self._fill()

    def read(self, size):
        """Exactly size octets, or Truncated."""
        pieces = []
        while size > 0:
            if not self.buffer and not self._fill():
                raise Truncated("end of file in a body", body=b"".join(pieces))
            pieces.append(self.buffer[:size])
            self.buffer = self.buffer[size:]
            size -= len(pieces[-1])
        return b"".join(pieces)

    def skip(self, size):
        """Exactly size octets, which nobody looks at: TCP throws them away without a copy (recv(2), MSG_TRUNC)."""
        size -= len(self.read(min(size, len(self.buffer))))
        room = bytearray(min(size, 1 << 20))
        while size > 0:
            n = self.socket.recv_into(room, min(size, len(room)), socket.MSG_TRUNC)
            if n == 0:
                raise Truncated("end of file in a body")
            size -= n

    def read_line(self):
        while b"\r\n" not in self.buffer:
            assert len(self.buffer) < 1 << 20, "endless line"
            if not self._fill():
                raise Truncated("end of file in a line", body=self.buffer)
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        if b"\r" in line or b"\n" in line:
            raise ProtocolError(f"bare CR or LF in {line!r}")
        return line

    def read_head(self):
        line = self.read_line()
        match = STATUS_LINE.match(line)
        if not match:
            raise ProtocolError(f"bad status line {line!r}")
        headers = []
        while True:
            line = self.read_line()
            if not line:
                break
            field = FIELD_LINE.match(line)
            if not field:
                raise ProtocolError(f"bad field line {line!r}")
            headers.append((field[1].decode(), field[2].decode("latin-1")))
        return Response("1." + match[1].decode(), int(match[2]), match[3].decode("latin-1"), headers)

    def _read_chunk_size(self):
        line = self.read_line()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
            raise ProtocolError(f"bad chunk size {line!r}")
        return int(line, 16)

    def _take_chunk(self, take):
        size = self._read_chunk_size()
        if size == 0:
            while self.read_line():
                pass
            return size, b""
        data = take(size)
        if self.read(2) != b"\r\n":
            raise ProtocolError("no CRLF after a chunk")
        return size, data

    def read_chunk(self):
        """The data of one chunk; b"" for the last one, whose trailers are read too."""
        return self._take_chunk(self.read)[1]

    def skip_chunk(self):
        """The size of one chunk, as skip(); 0 for the last one."""
        return self._take_chunk(self.skip)[0]

    def _read_chunked(self):
        pieces = []
        try:
            while True:
                pieces.append(self.read_chunk())
                if not pieces[-1]:
                    return b"".join(pieces)
        except Truncated as error:
            error.body = b"".join(pieces) + error.body
            raise

    def read_response(self, method="GET"):
        """One response with its body, by its framing; of HEAD without. An interim response is one of its own."""
        response = self.read_head()
        length = response.values("Content-Length")
        coding = response.values("Transfer-Encoding")
        if length and coding or len(length) > 1 or len(coding) > 1:
            raise ProtocolError(f"ambiguous framing {response}")
        if length and not length[0].isdecimal():
            raise ProtocolError(f"bad Content-Length {length}")
        if response.status < 200 or response.status == 204:
            if length or coding:
                raise ProtocolError(f"{response.status} with a body's framing")
            return response
        if method == "HEAD" or response.status == 304:
            return response
        try:
            if coding:
                if coding != ["chunked"] or response.version == "1.0":
                    raise ProtocolError(f"bad Transfer-Encoding {coding} on {response.version}")
                response.body = self._read_chunked()
            elif length:
                response.body = self.read(int(length[0]))
            elif not response.closes and not self.may_close_unsaid:
                raise ProtocolError(f"no framing {response}")
            else:
                response.body = self.read_until_close()
        except Truncated as error:
            error.response = response
            raise
        return response

    def read_until_close(self):
        """Everything up to a clean end of file; a reset is an error."""
        pieces = [self.buffer]
        self.buffer = b""
        while data := self.receive():
            pieces.append(data)
        return b"".join(pieces)

    def assert_closed(self):
        """Nothing more comes but a clean end of file."""
        rest = self.read_until_close()
        assert rest == b"", f"unexpected {rest[:200]!r}"


class Connection(Reader):
    def __init__(self, family, address, *, timeout, receive_buffer=None):
        super().__init__()
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Goes away with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # --- sending ---

    def send(self, data):
        self.socket.sendall(data)

    def send_slowly(self, data, size=1):
        """In pieces, each a segment of its own."""
        for start in range(0, len(data), size):
            self.socket.sendall(data[start : start + size])

    def send_end(self):
        """Half-closes: nothing more will come."""
        self.socket.shutdown(socket.SHUT_WR)

    def request(self, method="GET", target="/", *fields, body=None):
        """Sends a request and reads its response."""
        self.send(request(method, target, *fields, body=body))
        return self.read_response(method)

    # --- receiving ---

    def receive(self):
        return self.socket.recv(262144)

    def wait_readable(self):
        """Waits until something has arrived, without taking it."""
        assert select.select([self.socket], [], [], self.socket.gettimeout())[0], "nothing arrived"

    def is_readable(self):
        """Whether something has arrived by now."""
        return bool(self.buffer or select.select([self.socket], [], [], 0)[0])

    def wait_gone(self):
        """The connection ends, cleanly or not, whatever else comes before; returns the number of those octets."""
        size = len(self.buffer)
        self.buffer = b""
        try:
            while data := self.socket.recv(262144):
                size += len(data)
        except ConnectionResetError:
            pass
        return size


def request(method="GET", target="/", *fields, body=None, host="example.org", version="1.1"):
    """The octets of a request; fields: "Name: value"."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines.extend(fields)
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n" + (body or b"")


def chunk(data, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def chunked(body, size=None, trailers=b""):
    """body in chunks of that size."""
    size = size or max(1, len(body))
    return (
        b"".join(chunk(body[i : i + size]) for i in range(0, len(body), size)) + b"0\r\n" + trailers + b"\r\n"
    )
