# SPDX-License-Identifier: MIT
"""Results that an application may return. Each call of close(), and the end of each generator, adds to `closed` in the
namespace that count_in() was given."""

import sys

_namespace = {}


def count_in(namespace):
    global _namespace
    _namespace = namespace


def _count(n=1):
    _namespace["closed"] += n


class Items:
    """Iterable by __getitem__ alone."""

    def __init__(self, blocks):
        self.blocks = blocks

    def __getitem__(self, i):
        return self.blocks[i]


class Sized(Items):
    def __len__(self):
        return len(self.blocks)


class BadLength(Items):
    def __len__(self):
        raise RuntimeError("no length")


class Closable(Items):
    """Its own iterator, one block a time, with a length where that is 1."""

    def __init__(self, blocks):
        self.blocks = iter(tuple(blocks))
        if len(blocks) == 1:
            self.__class__ = ClosableOne

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.blocks)

    def close(self):
        _count()


class ClosableOne(Closable):
    def __len__(self):
        return 1


class ClosableList(list):
    def close(self):
        _count()


class Django(Items):
    """Like HttpResponse: no length, and an iterator over a list."""

    def __iter__(self):
        return iter(self.blocks)

    def close(self):
        _count()


class Raising(Closable):
    def __init__(self, blocks, exception):
        self.blocks = iter(blocks)
        self.exception = exception

    def __next__(self):
        for block in self.blocks:
            return block
        raise self.exception


class BadClose(Items):
    def close(self):
        sys.exit(4)


def with_epilogue():
    yield b"x"
    _count(7)


def endless():
    try:
        while True:
            yield b"e"
    finally:
        _count()


def writer(write):
    """Goes on although the client is gone, as careless code does."""
    for data in (b"a", b"b", b"c"):
        try:
            write(data)
        except BrokenPipeError:
            pass
    return Closable([b"d"])


def deep():
    return deep()
