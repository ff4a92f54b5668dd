# SPDX-License-Identifier: MIT
"""The switches of faults.c: faults that the kernel makes."""
import struct

from harness import BUILD


class Faults:
    """The switches of faults.c."""

    def __init__(self, path):
        self.path = path
        self.set()

    def environment(self):
        return {"LD_PRELOAD": str(BUILD / "tests/e2e/faults.so"), "CGUNICORN_TEST_FAULTS": str(self.path)}

    def set(self, clock_offset_sec=0, accept_errno=0, n_accept_errors=0):
        if not self.path.exists():
            self.path.write_bytes(bytes(16))
        with self.path.open("r+b", buffering=0) as file:
            file.write(struct.pack("=qii", clock_offset_sec, accept_errno, n_accept_errors))

    def n_accept_errors(self):
        return struct.unpack("=qii", self.path.read_bytes())[2]
