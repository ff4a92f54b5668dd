# SPDX-License-Identifier: MIT
"""What users are told about faults: man/cgunicorn-faults.7 is made of it (see `manual`), and the campaign holds the server
to what it quotes of the journal."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    what: str
    clients: str  # what they see
    journal: tuple  # what it says; "…" stands for anything
    whole: str  # when the site is back to full strength


OTHERS = "Its other connections are closed; what waited there unread was not begun."
REPLACED = "When another worker is forked and, with workers.preload = no, has imported the application."
UNHARMED = "It was never below."
RESTARTED = "When the application is loaded."

ROWS = {
    "killed": Row(
        "A worker is killed or crashes",
        "The request that it ran ends with a closed connection, a response under way is cut short. " + OTHERS,
        ("Worker … of generation … (pid …) was killed by signal …",),
        REPLACED + " A worker that dies again and again is waited for, longer each time, up to ten seconds.",
    ),
    "exits": Row(
        "The application ends its process: os._exit()",
        "As when it is killed.",
        ("Worker … of generation … (pid …) exited with status 3 while it ran POST …",),
        REPLACED,
    ),
    "system-exit": Row(
        "The application raises SystemExit: sys.exit()",
        "That request is answered with 500.",
        ("SystemExit: 3",),
        UNHARMED,
    ),
    "stopped-and-continued": Row(
        "A worker is stopped by a signal and continued: SIGSTOP",
        "Its requests wait; other workers take what is new.",
        ("Worker … of generation … (pid …) was stopped by signal 19 (SIGSTOP)", "Worker … of generation … (pid …) goes on"),
        "When it continues.",
    ),
    "stopped": Row(
        "A worker is stopped for good, in a request or idle",
        "The request ends with a closed connection after timeouts.request. " + OTHERS,
        (
            "Worker … of generation … (pid …) has been stopped for longer than timeouts.request=…",
        ),
        "After timeouts.request and a grace of two seconds. " + REPLACED,
    ),
    "hangs": Row(
        "A request does not come to its end: an endless loop, also one in C that keeps the GIL; a deadlock",
        "After timeouts.request it is answered with 504, or cut short where the response has begun. What waits in its "
        "worker is done by other threads of that, or by other workers.",
        (
            "This worker has run POST … for … s, longer than timeouts.request=…: its client gets 504",
            "Stack (most recent call first):",
        ),
        "After timeouts.request. " + REPLACED,
    ),
    "daemon": Row(
        "The application forks a process that stays, and its worker is killed",
        "As when a worker is killed: the process keeps no connection open.",
        ("Worker … of generation … (pid …) was killed by signal 9 (SIGKILL)",),
        REPLACED,
    ),
    "fork": Row(
        "A process that the application forked returns into the server",
        "One answer, that of the worker.",
        ("A process that the application forked left the application: it ends here.",),
        UNHARMED,
    ),
    "thread": Row(
        "The application leaves a thread that never ends",
        "Nothing.",
        ("Worker … of generation … (pid …) is not done draining after timeouts.graceful=…",),
        "At a reload or stop, its worker is ended after timeouts.graceful; others serve before that.",
    ),
    "memory": Row(
        "A request allocates a gigabyte",
        "Requests of that worker wait while Python holds the GIL.",
        (),
        UNHARMED + " Past MemoryMax= the kernel kills the worker.",
    ),
    "close": Row(
        "close() of a response raises",
        "The whole response, which was sent before.",
        ("RuntimeError: close() failed",),
        UNHARMED,
    ),
    "atexit": Row(
        "A handler of atexit raises",
        "Nothing.",
        ("ZeroDivisionError: division by zero",),
        UNHARMED,
    ),
    "descriptors": Row(
        "The application closes descriptors of the server: os.closerange()",
        "Those whose connections it closed see that, and those of its worker when the loss shows, which is at their next use.",
        (
            "The application has closed a file descriptor that is the server's",
            "Worker … of generation … (pid …) exited with status 70",
        ),
        REPLACED,
    ),
    "exhausted": Row(
        "A worker has no descriptor left (RLIMIT_NOFILE)",
        "Other workers take what is new, or it waits.",
        ("Cannot accept connections for now: Too many open files.",),
        "When descriptors are free again.",
    ),
    "zygote-killed": Row(
        "The zygote is killed or crashes",
        "Nothing: the workers serve on until those of a new generation have taken over.",
        ("The zygote of generation 1 (pid …) was killed by signal …", "Generation 2 serves, with … workers"),
        UNHARMED,
    ),
    "zygote-stopped": Row(
        "The zygote is stopped, and a worker dies",
        "As when a worker is killed; the others serve on.",
        ("The zygote of generation 1 (pid …) does not fork: killing it", "Generation 2 serves, with … workers"),
        "After timeouts.load, with a new generation.",
    ),
    "supervisor-killed": Row(
        "The supervisor is killed or crashes",
        "Nothing: the workers finish the requests that they have, and leave; those that come wait in the socket.",
        (),
        "systemd starts the site again after RestartSec=. " + RESTARTED,
    ),
    "supervisor-stopped": Row(
        "The supervisor hangs or is stopped",
        "Nothing, until WatchdogSec= is over; then as when it is killed.",
        (),
        "systemd starts the site again after WatchdogSec= and RestartSec=. " + RESTARTED,
    ),
    "restarted": Row(
        "Stop and start: systemctl restart",
        "Nothing: requests are finished, within timeouts.graceful; those that come wait in the socket.",
        ("Stopped after … requests", "Ready: … workers, … threads each"),
        RESTARTED,
    ),
    "socket-restarted": Row(
        "Restart of the socket: systemctl restart cgunicorn@SITE.socket",
        "Requests that have begun are finished. Until the socket is back, connections are refused; those that wait in it, "
        "accepted by nobody, are closed.",
        ("Stopped after … requests", "Ready: … workers, … threads each"),
        RESTARTED,
    ),
    "journal-away": Row(
        "systemd-journald is stopped and started again",
        "Nothing; records of that time are lost.",
        (),
        UNHARMED,
    ),
    "reload": Row(
        "Reload, of code that takes seconds to import, and a hundred at once",
        "Nothing; the answers become those of the new code.",
        ("Generation … serves, with … workers",),
        UNHARMED,
    ),
    "reload-fails": Row(
        "Reload of a broken INI file; of code that does not load, ends its process, or is not loaded within timeouts.load",
        "Nothing.",
        ("Reload failed, generation 1 goes on serving: …",),
        UNHARMED,
    ),
    "respawn-fails": Row(
        "A worker dies, and the application does not load any more: broken code, its directory is gone",
        "As when a worker is killed; the others serve on.",
        ("Worker … of generation 1 (pid …) does not start: …",),
        "When the code is in order again; it is tried with pauses of up to ten seconds.",
    ),
    "clock": Row(
        "The clock is set, by an hour forth or back",
        "Nothing; Date is the new time. No time limit is shorter or longer.",
        (),
        UNHARMED,
    ),
    "disk-full": Row(
        "The file system of the cache directory is full",
        "A request with a body larger than limits.body_memory is answered with 503.",
        ("No space left on device",),
        "When there is room.",
    ),
    "no-process": Row(
        "No process may be made (RLIMIT_NPROC, TasksMax=), and a worker dies",
        "As when a worker is killed; the others serve on.",
        ("Cannot fork worker …: Resource temporarily unavailable",),
        "When one may be made; it is tried with pauses of up to ten seconds.",
    ),
}
