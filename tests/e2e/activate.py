# SPDX-License-Identifier: MIT
"""Starts a program as systemd would a socket-activated service: listening sockets from descriptor 3 on, LISTEN_FDS
and LISTEN_PID set. Keeps its process id, so that whoever started this is the parent of the program.

    activate.py [--nofile=N] FD… -- PROGRAM ARGUMENT…
"""
import fcntl
import os
import resource
import sys

FIRST = 3


def main(arguments):
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    if options and options[0].startswith("--nofile="):
        limit = int(options.pop(0).partition("=")[2])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    # First out of the way of each other, then to their places.
    fds = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, FIRST + len(options)) for fd in options]
    for place, fd in enumerate(fds, FIRST):
        os.dup2(fd, place, inheritable=True)
    for fd in map(int, options):
        if fd >= FIRST + len(options):
            os.close(fd)
    if fds:
        os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
    os.execvp(command[0], command)


main(sys.argv[1:])
