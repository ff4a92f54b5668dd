# SPDX-License-Identifier: MIT
"""Keeps what it was called with, for the test to look at."""

environ = None
start_response = None
write = None


def application(e, s):
    global environ, start_response, write
    environ, start_response = e, s
    write = s("200 OK", [("Content-Type", "text/plain")])
    return []
