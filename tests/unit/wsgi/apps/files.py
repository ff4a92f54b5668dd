# SPDX-License-Identifier: MIT
"""Files for wsgi.file_wrapper: regular ones with ten octets, and things that only look like one."""

import gc
import gzip
import io
import os
import tempfile
import weakref

closed = 0

_fd, path = tempfile.mkstemp()
os.write(_fd, b"0123456789")
os.close(_fd)
_fd, gzip_path = tempfile.mkstemp()
os.write(_fd, gzip.compress(b"abc"))
os.close(_fd)


def _count(f, n=1):
    """Lets f.close() be counted; open files have a __dict__."""
    close = f.close

    def counted():
        global closed
        closed += n
        close()
    f.close = counted
    return f


def opened(read=0, seek=0):
    f = open(path, "rb")
    f.read(read)
    f.seek(seek, os.SEEK_CUR)
    return _count(f)


def unbuffered():
    return open(path, "rb", buffering=0)


def temporary():
    f = open(tempfile.mkdtemp() + "/x", "w+b")
    os.unlink(f.name)
    os.rmdir(os.path.dirname(f.name))
    f.write(b"unflushed")
    f.seek(0)
    return f


def gzipped():
    return gzip.open(gzip_path)


def piped():
    r, w = os.pipe()
    os.write(w, b"pipe")
    os.close(w)
    return open(r, "rb")


class Proxy:
    """Like django.core.files.File."""

    def __init__(self, file):
        self.file = file

    read = property(lambda self: self.file.read)
    fileno = property(lambda self: self.file.fileno)
    close = property(lambda self: self.file.close)


class OwnRead(Proxy):
    """Has the descriptor of a file, but other octets."""

    data = b"o"

    def read(self, n):
        data, self.data = self.data, b""
        return data


class Minimal:
    """No close(), no fileno()."""

    data = b"m"

    def read(self, n):
        data, self.data = self.data, b""
        return data


class Broken:
    def read(self, n):
        raise OSError("broken")

    def close(self):
        global closed
        closed += 1


class BadClose(Minimal):
    def close(self):
        raise OSError("bad close")


def closed_early(wrapper):
    wrapper.close()
    wrapper.close()
    return wrapper


def replaced_close(f, wrap):
    wrapper = wrap(f)
    _count(f, 100)
    return wrapper


_ref = None


def cycle(wrapper):
    global _ref
    wrapper.filelike.wrapper = wrapper
    _ref = weakref.ref(wrapper.filelike)
    return []


def gone_after_collect():
    gc.collect()
    return _ref() is None
