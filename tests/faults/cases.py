# SPDX-License-Identifier: MIT
"""The faults. Each function does one thing to a server that serves its load, and returns when that was noticed or done;
what comes after is the same for all: campaign.run()."""
import os
import shutil
import signal
import subprocess
import time

from campaign import fault
from client import request
from faults import Faults
from harness import poll
from supervision import BROKEN, OTHER, SLOW, notified
from target import SOURCE

PRELOAD = {"workers_preload": "yes"}
WATCHED = {"timeouts_request": "2s", "timeouts_graceful": "1s"}
HASTY = {"timeouts_graceful": "1s"}


def in_request(t, number):
    """A worker is struck while it runs a request; its client sees the end of the connection."""
    connection, pid = t.call("hold")
    t.wait_for_gate(pid)
    t.strike(pid, number)
    assert connection.wait_gone() == 0


def in_response(t, number):
    connection, pid = t.call("response")
    assert connection.read_head().status == 200
    assert connection.read_chunk() == b"begun "
    t.wait_for_gate(pid)
    t.strike(pid, number)
    assert connection.wait_gone() == 0


def dies_of(t, name):
    connection, _ = t.call_hit(name)
    assert connection.wait_gone() == 0


# --- workers that die ---


@fault("killed", config=PRELOAD)
def kill_of_idle_worker(t):
    t.strike(t.a_worker())


@fault("killed")
def kill_in_request(t):
    in_request(t, signal.SIGKILL)


@fault("killed")
def kill_in_response(t):
    in_response(t, signal.SIGKILL)


@fault("killed", config=PRELOAD)
def segv_of_idle_worker(t):
    t.strike(t.a_worker(), signal.SIGSEGV)


@fault("killed")
def segv_in_request(t):
    in_request(t, signal.SIGSEGV)


@fault("killed")
def segv_in_response(t):
    in_response(t, signal.SIGSEGV)


@fault("killed")
def application_crashes(t):
    dies_of(t, "sigsegv")


@fault("killed")
def application_aborts(t):
    dies_of(t, "abort")


@fault("killed")
def all_workers_killed(t):
    for pid in t.workers():
        t.strike(pid)


@fault("exits")
def application_exits(t):
    dies_of(t, "_exit")


@fault("system-exit")
def application_raises_system_exit(t):
    connection, _ = t.call("sys.exit")
    assert connection.read_response().status == 500


# --- workers that stop ---


def stop_and_continue(t, pid):
    os.kill(pid, signal.SIGSTOP)
    t.server.wait_for_log(rf"\(pid {pid}\) was stopped by signal")
    t.load.wait_for_more()
    t.struck_at = time.monotonic()
    os.kill(pid, signal.SIGCONT)


@fault("stopped-and-continued")
def stop_of_idle_worker(t):
    stop_and_continue(t, t.a_worker())


@fault("stopped-and-continued")
def stop_in_request(t):
    connection, pid = t.call("hold")
    t.wait_for_gate(pid)
    stop_and_continue(t, pid)
    t.gate(pid).unlink()
    assert connection.read_response().body == b"survived"


@fault("stopped-and-continued")
def stop_in_response(t):
    connection, pid = t.call("response")
    connection.read_head()
    t.wait_for_gate(pid)
    stop_and_continue(t, pid)
    t.gate(pid).unlink()
    assert connection.read_chunk() + connection.read_chunk() == b"begun ended"


@fault("stopped", config=WATCHED)
def stop_of_idle_worker_for_good(t):
    t.strike(t.a_worker(), signal.SIGSTOP)


@fault("stopped", config=WATCHED)
def stop_in_request_for_good(t):
    in_request(t, signal.SIGSTOP)


@fault("stopped", config=WATCHED, long=True)
def stop_in_response_for_good(t):
    in_response(t, signal.SIGSTOP)


# --- applications that hang ---


def hangs_in(t, name):
    connection, _ = t.call_hit(name)
    assert connection.read_response().status == 504


@fault("hangs", config=WATCHED)
def endless_loop(t):
    hangs_in(t, "loop")


@fault("hangs", config=WATCHED)
def endless_loop_with_gil(t):
    hangs_in(t, "gil")


@fault("hangs", config=WATCHED)
def deadlock(t):
    hangs_in(t, "deadlock")


# --- applications that leave something behind ---


@fault("daemon")
def daemon_of_worker(t):
    connection, pid = t.call("daemon")
    assert connection.read_response().body == b"survived"
    t.strike(pid)
    assert connection.wait_gone() == 0
    daemon = t.directory / "daemon"
    poll(daemon.exists, "the daemon")
    os.kill(int(daemon.read_text()), signal.SIGKILL)


@fault("fork")
def fork_that_returns(t):
    """Both processes come back from the application; one of them is the server's."""
    connection, _ = t.call("fork")
    assert connection.read_response().body == b"survived"
    connection.send(request())
    assert connection.read_response().body == b"one"


@fault("thread", config=HASTY)
def thread_without_end(t):
    connection, pid = t.call("thread")
    assert connection.read_response().body == b"survived"
    t.reload()
    poll(lambda: pid not in t.workers(), "the worker with the thread to go")


@fault("memory", long=True)
def gigabyte(t):
    connection, _ = t.call("allocate")
    assert connection.read_response().body == b"survived"


@fault("close")
def close_raises(t):
    connection, _ = t.call("close()")
    assert connection.read_response().body == b"whole"


@fault("atexit")
def exit_handler_raises(t):
    connection, _ = t.call("atexit")
    assert connection.read_response().body == b"survived"
    t.reload()
    t.server.wait_for_log("Generation 2 serves")


# --- descriptors ---


def closes(t, name):
    """Whether its client has an answer depends on the descriptor; the worker is replaced when the loss shows."""
    connection, pid = t.call_hit(name)
    poll(lambda: pid not in t.workers(), "the worker to go")
    connection.close()


@fault("descriptors")
def all_descriptors_closed(t):
    closes(t, "close-all")


@fault("descriptors")
def epoll_closed(t):
    closes(t, "close-epoll")


@fault("descriptors")
def events_closed(t):
    closes(t, "close-events")


@fault("descriptors")
def listeners_closed(t):
    closes(t, "close-listeners")


@fault("descriptors")
def connections_closed(t):
    closes(t, "close-clients")


@fault("descriptors")
def channel_closed(t):
    closes(t, "close-channel")


@fault("exhausted", options={"nofile": 64})
def descriptors_exhausted(t):
    holder, other = t.call("hold")  # or that one might take all connections
    connection, pid = t.call("exhaust")
    assert connection.read_response().body == b"survived"
    t.server.wait_for_log("Cannot accept connections for now")
    t.gate(other).unlink()
    assert holder.read_response().body == b"survived"
    t.load.wait_for_more()
    t.gate(pid).unlink()


# --- the zygote ---


@fault("zygote-killed")
def kill_of_zygote(t):
    t.struck_at = time.monotonic()
    os.kill(t.zygote(), signal.SIGKILL)
    t.server.wait_for_log("Generation 2 serves")


@fault("zygote-killed", config=PRELOAD)
def segv_of_zygote(t):
    t.struck_at = time.monotonic()
    os.kill(t.zygote(), signal.SIGSEGV)
    t.server.wait_for_log("Generation 2 serves")


@fault("zygote-stopped", config={"timeouts_load": "2s"})
def stop_of_zygote(t):
    os.kill(t.zygote(), signal.SIGSTOP)
    t.strike(t.a_worker())
    t.server.wait_for_log("Generation 2 serves")


@fault("killed")
def stop_of_zygote_that_continues(t):
    zygote = t.zygote()
    os.kill(zygote, signal.SIGSTOP)
    t.strike(t.a_worker())
    t.server.wait_for_log("was killed by signal 9")
    t.load.wait_for_more()
    os.kill(zygote, signal.SIGCONT)


# --- the machine ---


def prepare_clock(server):
    server.environment.update(Faults(server.directory / "faults").environment())


def step_clock(t, hours):
    faults = Faults(t.directory / "faults")
    t.struck_at = time.monotonic()
    faults.set(clock_offset_sec=hours * 3600)
    t.load.wait_for_more()
    hour = time.strftime(" %H:", time.gmtime(time.time() + hours * 3600))
    assert hour in t.server.get("/").header("Date")


@fault("clock", prepare=prepare_clock)
def clock_set_forward(t):
    step_clock(t, 1)


@fault("clock", prepare=prepare_clock)
def clock_set_back(t):
    step_clock(t, -1)


def prepare_small_disk(server):
    """In a mount namespace of the server's own."""
    cache = server.directory / "cache"
    cache.mkdir()
    server.environment["CACHE_DIRECTORY"] = str(cache)
    mount = f'mount -t tmpfs -o size=64k tmpfs {cache} && exec "$@"'
    server.wrapper = ["unshare", "--mount", "sh", "-c", mount, "sh"]


@fault(
    "disk-full",
    needs_root=True,
    prepare=prepare_small_disk,
    config={"limits_body_memory": "4K"},
    refusals=("503",),
)
def disk_full(t):
    def post(size):
        return t.server.get("/", method="POST", body=bytes(size)).status

    t.struck_at = time.monotonic()
    assert post(10000) == 200
    assert post(100000) == post(100000) == 503
    poll(lambda: post(10000) == 200, "room")


def prepare_other_user(server):
    server.wrapper = ["prlimit", "--nproc=32", "setpriv", f"--reuid={OTHER}", "--clear-groups"]
    for path in (server.directory, server.log_path):
        path.touch()
        os.chown(path, OTHER, -1)


def limit_processes(pid, n):
    """By its own user: the limits of others take a capability that a container may not have."""
    command = ["setpriv", f"--reuid={OTHER}", "--clear-groups", "prlimit", f"--pid={pid}", f"--nproc={n}:32"]
    subprocess.run(command, check=True)


@fault("no-process", needs_root=True, prepare=prepare_other_user)
def no_process_may_be_made(t):
    zygote = t.zygote()
    limit_processes(zygote, 1)
    t.strike(t.a_worker())
    t.server.wait_for_log("Cannot fork worker")
    t.load.wait_for_more()
    t.struck_at = time.monotonic()
    limit_processes(zygote, 32)


# --- reload ---


@fault("reload")
def storm_of_reloads(t):
    """One at a time, the last one wins, and there is an end of it."""
    for number in range(100):
        t.write_app(SOURCE.replace('"one"', f'"{number}"'))
        t.reload()
    poll(lambda: t.server.get("/").body == b"99" and t.is_quiet(), "the last code")
    states = t.states()
    assert states == (["READY=1", "RELOADING=1"] * len(states))[: len(states)] and len(states) >= 3


def failing_reload(t, source):
    t.write_app(source)
    t.reload()
    t.server.wait_for_log("Reload failed")


@fault("reload-fails")
def reload_of_syntax_error(t):
    failing_reload(t, "def app(:\n")


@fault("reload-fails")
def reload_of_import_error(t):
    failing_reload(t, BROKEN)


@fault("reload-fails", options={"ini": ""})
def reload_that_hangs(t):
    (t.directory / "site.ini").write_text("[timeouts]\nload = 1s\n")
    failing_reload(t, "import time\ntime.sleep(1000)\n")


@fault("reload-fails")
def reload_that_crashes(t):
    failing_reload(t, "import os\nos._exit(3)\n")


@fault("reload-fails", options={"ini": "[workers]\nthreads = 1\n"})
def reload_of_broken_ini(t):
    (t.directory / "site.ini").write_text("[workers]\ntreads = 1\n")
    t.reload()
    t.server.wait_for_log("Reload failed.*did you mean threads")


@fault("reload", config={**PRELOAD, "reload_watch": "0"})  # else the zygote before stays that long
def reload_of_slow_import(t):
    t.write_app(SLOW.partition("import json")[0] + SOURCE)
    t.reload()
    poll((t.site / "importing").exists, "the import")
    t.load.wait_for_more()
    (t.site / "importing").unlink()
    t.server.wait_for_log("Generation 2 serves")


@fault("reload", long=True)
def reload_of_import_of_five_seconds(t):
    t.write_app("import time\ntime.sleep(5)\n" + SOURCE)
    t.reload()
    t.server.wait_for_log("Generation 2 serves")


@fault("respawn-fails")
def respawn_of_broken_code(t):
    """Put right again when it has failed twice."""
    t.write_app(BROKEN)
    t.strike(t.a_worker())
    t.server.wait_for_log("(?s)does not start.*does not start")
    t.load.wait_for_more()
    t.write_app(SOURCE)


@fault("respawn-fails")
def respawn_without_directory(t):
    hidden = t.directory.with_name(t.directory.name + "-away")
    shutil.move(t.site, hidden)
    t.strike(t.a_worker())
    t.server.wait_for_log("(?s)does not start.*does not start")
    t.load.wait_for_more()
    t.struck_at = time.monotonic()
    shutil.move(hidden, t.site)


# --- stop and start ---


@fault("restarted")
def restart(t):
    """Who comes while nobody is there waits in the socket."""
    connection, pid = t.call("hold")
    t.wait_for_gate(pid)
    t.server.signal(signal.SIGTERM)
    notified(t.server, "^STOPPING=1")
    t.gate(pid).unlink()
    assert connection.read_response().body == b"survived"
    assert t.server.wait() == 0
    t.begin_again()


@fault("supervisor-killed")
def kill_of_supervisor(t):
    t.struck_at = time.monotonic()
    t.server.signal(signal.SIGKILL)
    t.server.wait()
    poll(lambda: not t.server.pids(), "workers and zygote to leave")
    t.begin_again()
