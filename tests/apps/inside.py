# SPDX-License-Identifier: MIT
"""A WSGI application that tries what applications do to the process they are in: child processes, threads, signals, exit
handlers, locales."""
import asyncio
import atexit
import io
import json
import locale
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback

atexit.register(lambda: print("exit handler of", os.getpid(), file=sys.stderr, flush=True))


def app(environ, start_response):
    try:
        answer = {"value": TRIALS[environ["PATH_INFO"].strip("/")]()}
    except Exception:
        answer = {"error": traceback.format_exc()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


TRIALS = {}


def trial(function):
    TRIALS[function.__name__] = function
    return function


@trial
def pid():
    return os.getpid()


@trial
def run():
    """Exit statuses of children are the application's to collect."""
    codes = [subprocess.run(["/bin/sh", "-c", f"exit {code}"]).returncode for code in (0, 7)]
    codes.append(subprocess.run(["/bin/sh", "-c", "kill -TERM $$; sleep 60"]).returncode)
    return codes


@trial
def output():
    return subprocess.run(["/bin/cat"], input=b"through a pipe", capture_output=True).stdout.decode()


@trial
def child_state():
    """Descriptors and signals that a child gets which asks for no clean-up."""
    script = "ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p'; grep -E '^Sig(Blk|Ign)' /proc/self/status"
    child = subprocess.run(["/bin/sh", "-c", script], close_fds=False, capture_output=True, text=True)
    lines = child.stdout.split("\n")
    signals = dict(line.split() for line in lines if line.startswith("Sig"))
    return {"fds": [int(line) for line in lines if line.isdigit()], **signals}


@trial
def fork():
    child = os.fork()
    if child == 0:
        os._exit(5)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@trial
def fork_and_exit():
    """A child that ends as a program does, by an exception that nobody is to catch."""
    child = os.fork()
    if child == 0:
        sys.exit(6)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@trial
def fork_and_return():
    """A child that forgets to end, and comes back to the server."""
    child = os.fork()
    if child == 0:
        return "child"
    os.waitpid(child, 0)
    return "parent"


@trial
def pool_fork():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2, -3])


@trial
def pool_spawn():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(abs, [-1, -2, -3])


@trial
def event_loop():
    async def sleep():
        await asyncio.sleep(0.01)
        return "slept"

    return asyncio.run(sleep())


@trial
def threads():
    results = []
    several = [threading.Thread(target=results.append, args=(number,)) for number in range(20)]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    return sorted(results)


@trial
def daemon_thread():
    """Left running for the rest of the process's life."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return "started"


@trial
def alarm():
    return [
        signal.getsignal(number) == signal.SIG_DFL
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1)
    ]


@trial
def encodings():
    return {
        "filesystem": sys.getfilesystemencoding(),
        "stdout": sys.stdout.encoding.lower(),
        "stderr": sys.stderr.encoding.lower(),
        "open": io.text_encoding(None, 1) and open(os.devnull).encoding.lower(),
        "locale": locale.getpreferredencoding(False).lower(),
    }


@trial
def main_module():
    import __main__

    return __main__.__name__


@trial
def stdin():
    return sys.stdin is None or sys.stdin.read() == ""
