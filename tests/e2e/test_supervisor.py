# SPDX-License-Identifier: MIT
"""The supervisor: what systemd is told, generations, deaths, time limits, stop; and what a worker inherits."""
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import BUILD, DEADLINE, EXECUTED, PROGRAM, SANITIZED, Server, clean_environment, poll
from supervision import (
    APP,
    BROKEN,
    SLOW,
    exit_status,
    ignore_faults,
    in_background,
    notified,
    processes,
    release,
    reload,
    text,
    wait_for_file,
    workers,
    write_app,
    zygotes,
)

# --- what systemd is told ---


def test_notifications_come_in_order(start_server):
    server = start_server(APP, {"workers_count": 2})
    assert text(server) == "one"
    notified(server, "^STATUS=2/2 workers, 0 busy, 1 requests, generation 1$")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    notified(server, "^STOPPING=1")
    states = [line for line in server.notify.lines() if re.match("READY|RELOADING|STOPPING|MAINPID", line)]
    assert states == ["READY=1", "STOPPING=1"]
    assert "Stopped after 1 requests" in server.log()


def test_ready_means_that_workers_answer():
    with Server(SLOW) as server:
        server.launch()
        wait_for_file(server, "importing")
        notified(server, "^EXTEND_TIMEOUT_USEC=")
        notified(server, "^STATUS=Loading the application$")
        assert "READY=1" not in server.notify.lines()
        release(server, "importing")
        server.wait_for_notification("READY=1")
        assert text(server) == "one"
        server.stop()


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_application_that_does_not_load(preload):
    with Server(BROKEN, {"workers_preload": preload, "workers_count": 2}) as server:
        assert exit_status(server.launch()) == 70
        notified(server, "^STATUS=ValueError: broken source$")
        assert "READY=1" not in server.notify.lines()
        assert "Traceback (most recent call last)" in server.log()
        assert "cannot load the application" in server.log()
        assert not processes(server)


def test_import_without_end():
    with Server(SLOW, {"timeouts_load": "1s"}) as server:
        assert exit_status(server.launch()) == 70
        assert "loading the application after timeouts.load=1s" in server.log()
        assert not processes(server)


def test_stop_while_loading():
    with Server(SLOW) as server:
        server.launch()
        wait_for_file(server, "importing")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not processes(server)


def test_wrong_configuration():
    with Server("a:b", {"workers_count": "many"}) as server:
        assert exit_status(server.launch()) == 78
        notified(server, "^STATUS=.*workers.count")
        assert "workers.count" in server.log()


def test_site_without_sockets(tmp_path):
    (tmp_path / "blog.ini").write_text("[app]\nmodule = a:b\n")
    with Server(None, listeners=[], arguments=["blog"], environment={"CGUNICORN_SITES_DIRECTORY": str(tmp_path)}) as server:
        assert exit_status(server.launch()) == 64
        assert "start cgunicorn@blog.socket" in server.log()
        notified(server, "start cgunicorn@blog.socket")


def test_virtualenv_of_another_python(tmp_path):
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.99.1\n")
    with Server(APP, {"app_virtualenv": tmp_path}) as server:
        assert exit_status(server.launch()) == 78
        assert f"{tmp_path} is of Python 3.99" in server.log()
        assert re.search(r"\(there: .*cgunicorn", server.log())


def test_watchdog(start_server):
    server = start_server(APP, environment={"WATCHDOG_USEC": "200000"})
    notified(server, "^WATCHDOG=1$", 2)


# --- reload ---


def test_reload_brings_new_code(start_server):
    server = start_server(APP, {"workers_count": 3})
    before = workers(server) | zygotes(server)
    write_app(server, APP.replace("one", "two"))
    sent = time.monotonic_ns() // 1000
    reload(server)
    stamp = re.search("^RELOADING=1\nMONOTONIC_USEC=([0-9]+)$", "\n".join(server.notify.messages), re.M)
    assert stamp and sent <= int(stamp[1]) <= time.monotonic_ns() // 1000
    assert text(server) == "two"
    poll(lambda: len(workers(server)) == 3 and not before & set(processes(server)), "the old generation to go")
    notified(server, "^STATUS=3/3 workers, .*generation 2$")
    assert "Generation 2 serves" in server.log()


@pytest.mark.parametrize("preload", ["yes", "no"])
def test_broken_code_never_replaces_what_serves(start_server, preload):
    server = start_server(APP, {"workers_preload": preload, "workers_count": 2})
    before = workers(server)
    write_app(server, BROKEN)
    reload(server)
    assert text(server) == "one"
    poll(lambda: workers(server) == before, "those who failed to leave")
    notified(server, "STATUS=2/2 workers.*generation 1; last reload failed: ValueError: broken source")
    assert "Reload failed, generation 1 goes on serving" in server.log()
    reload(server, 3)
    assert text(server) == "one"
    write_app(server, APP.replace("one", "two"))
    reload(server, 4)
    assert text(server) == "two"
    notified(server, "^STATUS=2/2 workers, . busy, . requests, generation 4$")


def test_broken_configuration_never_replaces_what_serves(start_server):
    server = start_server(APP, ini="[workers]\ncount = 1\n")
    (server.directory / "site.ini").write_text("[workers]\ncuont = 1\n")
    reload(server)
    assert server.get("/").status == 200
    assert "did you mean count" in server.log()
    notified(server, "last reload failed: .*did you mean count")


def test_reload_during_a_reload_runs_once_more(start_server):
    server = start_server(APP)
    write_app(server, SLOW)
    server.signal(signal.SIGHUP)
    wait_for_file(server, "importing")
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGHUP)
    write_app(server, APP.replace("one", "two"))
    assert text(server) == "one"
    release(server, "importing")
    notified(server, "^READY=1", 3)
    assert text(server) == "two"
    states = [line for line in server.notify.lines() if line in ("READY=1", "RELOADING=1")]
    assert states == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]
    notified(server, "generation 3$")


@pytest.mark.parametrize("before, after", [(1, 4), (4, 1)])
def test_reload_changes_the_number_of_workers(before, after):
    with Server("source_app:app", ini=f"[workers]\ncount = {before}\n") as server:
        del server.config["workers.count"]
        write_app(server, APP)
        server.start()
        assert len(workers(server)) == before
        (server.directory / "site.ini").write_text(f"[workers]\ncount = {after}\n")
        reload(server)
        poll(lambda: len(workers(server)) == after)
        notified(server, f"^STATUS={after}/{after} workers")
        assert text(server) == "one"
        server.stop()


def test_no_request_fails_through_reloads(start_server):
    server = start_server(APP, {"workers_count": 2})
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            answers.append(text(server))

    askers = [in_background(ask) for _ in range(3)]
    for i in range(2, 5):
        write_app(server, APP.replace("one", str(i)))
        reload(server, i)
        poll(lambda: str(i) in answers, "an answer of the new code")
    stop.set()
    for thread, result in askers:
        thread.join(DEADLINE)
        assert result["value"] is None
    assert set(answers) <= {"one", "2", "3", "4"}


def test_reload_waits_for_no_request(start_server):
    server = start_server(APP)
    thread, result = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    write_app(server, APP.replace("one", "two"))
    reload(server)
    assert text(server) == "two"
    assert thread.is_alive()
    release(server, "waiting")
    thread.join(DEADLINE)
    assert result["value"].status == 200 and result["value"].body == b"one"


# --- deaths ---


def test_killed_worker_is_replaced(start_server):
    server = start_server(APP)
    thread, _ = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    (victim,) = workers(server)
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log(
        rf"Worker 0 of generation 1 \(pid {victim}\) was killed by signal 9 \(SIGKILL\) "
        r"while it ran GET /wait( HTTP/1.1)? \(for [0-9.]+ s\)"
    )
    poll(lambda: workers(server) - {victim}, "the next worker")
    assert text(server) == "one"
    thread.join(DEADLINE)
    assert server.notify.lines().count("READY=1") == 1


def test_killed_zygote_means_a_new_generation(start_server):
    server = start_server(APP, {"workers_count": 2})
    (victim,) = zygotes(server)
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log(r"The zygote of generation 1 \(pid [0-9]+\) was killed by signal 9")
    server.wait_for_log("Generation 2 serves")
    assert text(server) == "one"
    poll(lambda: len(workers(server)) == 2 and len(zygotes(server)) == 1)
    notified(server, "generation 2$")
    assert "RELOADING=1" not in server.notify.lines()


def test_killed_zygote_of_broken_code(start_server):
    """Nothing that serves stops serving; when the code is well again, all is well again."""
    server = start_server(APP)
    write_app(server, BROKEN)
    (victim,) = zygotes(server)
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log("Reload failed, generation 1 goes on serving")
    assert text(server) == "one"
    write_app(server, APP.replace("one", "two"))
    server.wait_for_log("Generation [0-9]+ serves")
    assert text(server) == "two"


def test_worker_that_can_not_load_any_more_is_tried_again(start_server):
    server = start_server(APP)
    write_app(server, BROKEN)
    (victim,) = workers(server)
    os.kill(victim, signal.SIGKILL)
    server.wait_for_log("Worker 0 of generation 1 .* does not start")
    notified(server, "^STATUS=0/1 workers.*last failure: ValueError: broken source")
    write_app(server, APP.replace("one", "two"))
    assert text(server) == "two"


def test_killed_supervisor_leaves_nobody(start_server):
    server = start_server(APP, {"workers_count": 2, "workers_preload": "yes"})
    assert len(processes(server)) == 4
    server.signal(signal.SIGKILL)
    server.wait()
    poll(lambda: not processes(server), "the zygote and the workers to leave")
    server.process = None


def test_orphans_are_reaped(start_server):
    server = start_server(APP)
    text(server, "/orphan")
    orphan = int((server.directory / "orphan").read_text())
    poll(lambda: not Path(f"/proc/{orphan}").exists(), "the orphan to be reaped")
    assert workers(server) and text(server) == "one"


# --- time limits ---


def test_request_without_end_is_shown_and_ended(start_server):
    server = start_server(APP, {"timeouts_request": "1s", "workers_count": 2})
    thread, _ = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    server.wait_for_log(
        r"This worker has run GET /wait for [0-9.]+ s, longer than timeouts.request=1s: its client gets 504"
    )
    server.wait_for_log(r'File ".*source_app.py", line \d+ in app')
    thread.join(DEADLINE)
    assert text(server) == "one"
    notified(server, "^STATUS=2/2 workers, 0 busy")
    assert server.log().count("longer than timeouts.request") == 1
    ignore_faults(server)


def test_stop_does_not_wait_for_ever(start_server):
    server = start_server(APP, {"timeouts_graceful": "1s"})
    in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert re.search(r"draining after timeouts.graceful=1s while it ran GET /wait( HTTP/1.1)?", server.log())
    assert not processes(server)
    ignore_faults(server)


# --- stop ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_finishes_requests(start_server, number):
    server = start_server(APP)
    thread, result = in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    server.signal(number)
    notified(server, "^STOPPING=1")
    notified(server, "^EXTEND_TIMEOUT_USEC=")
    release(server, "waiting")
    thread.join(DEADLINE)
    assert result["value"].status == 200 and result["value"].body == b"one"
    assert server.wait() == 0
    assert not processes(server)


def test_second_signal_ends_at_once(start_server):
    server = start_server(APP, {"timeouts_graceful": "1h"})
    in_background(server.get, "/wait")
    wait_for_file(server, "waiting")
    server.signal(signal.SIGINT)
    notified(server, "^STOPPING=1")
    server.signal(signal.SIGTERM)  # means no more than the first
    server.signal(signal.SIGINT)
    assert server.wait() == 0
    assert not processes(server)


# --- what a worker inherits ---


def test_environment_of_a_worker(start_server):
    private = {"WATCHDOG_USEC": "60000000", "FDSTORE": "16", "MAINPIDFDID": "1"}
    server = start_server(APP, {"app_environment": "OWN=1"}, environment={**private, "KEPT": "1"})
    environ = text(server, "/environ")
    assert '"OWN": "1"' in environ and '"KEPT": "1"' in environ
    assert not re.search(r'"(NOTIFY_SOCKET|WATCHDOG_|LISTEN_|FDSTORE|MAINPID)', environ)


def test_descriptors_of_a_worker(start_server):
    server = start_server(APP, {"workers_count": 3})
    fds = json.loads(text(server, "/fds"))
    assert fds["0"] == "/dev/null"
    assert fds["1"] == fds["2"] == str(server.log_path)
    sockets = [name for name in fds.values() if "socket:" in name]
    others = sorted(re.sub(r".*(anon_inode:)?\[(\w+)\]$", r"\2", fds[fd]) for fd in fds if "socket:" not in fds[fd])
    # The channel, the listener, this connection; the queue that the workers share is a pair more.
    assert len(sockets) <= 5, fds
    assert not any("signalfd" in name or "timerfd" in name or "cgunicorn-configuration" in name for name in others), fds


def test_signals_of_a_worker(start_server):
    server = start_server(APP)
    status = dict(line.split(":\t", 1) for line in text(server, "/process").splitlines() if ":\t" in line)
    assert int(status["SigBlk"], 16) == 0
    ignored = {number for number in signal.Signals if int(status["SigIgn"], 16) & 1 << (number - 1)}
    assert signal.SIGPIPE in ignored and ignored <= {signal.SIGPIPE, signal.SIGXFSZ}
    assert int(status["PPid"]) == server.process.pid
    assert int(status["Pgrp"]) != os.getpgid(server.process.pid)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has memory of its own")
def test_memory_of_the_supervisor(start_server):
    server = start_server(APP, {"workers_count": 4})
    reload(server)
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 4096


# --- in the foreground ---


class Foreground:
    """`cgunicorn serve` with a command line of the test's own, and without systemd."""

    def __init__(self, directory, *arguments, wrapper=()):
        self.directory = directory
        self.log_path = directory / "log"
        (directory / "source_app.py").write_text(APP)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, str(PROGRAM), "serve", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=clean_environment(directory),
                start_new_session=True,
            )

    def log(self):
        return self.log_path.read_text()

    def wait_for_log(self, pattern):
        def found():
            assert self.process.poll() is None or re.search(pattern, self.log()), self.log()
            return re.search(pattern, self.log())

        return poll(found, pattern)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0, self.log()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        poll(lambda: not processes(self), "the workers to leave")


def ask(family, address, target="/"):
    with socket.socket(family) as client:
        client.settimeout(DEADLINE)
        client.connect(address)
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := client.recv(4096):
            answer += data
    return answer


def test_binds_by_itself(tmp_path, port):
    path = tmp_path / "s"
    arguments = ["-w", "1", "-b", f"localhost:{port}", "-b", "unix:s", "--threads", "2", "source_app:app"]
    with Foreground(tmp_path, *arguments) as server:
        server.wait_for_log("Ready: 1 workers, 2 threads each")
        assert f"Listening at: http://127.0.0.1:{port}\n" in server.log()
        assert f"Listening at: unix:{path}\n" in server.log()
        assert ask(socket.AF_INET, ("127.0.0.1", port)).endswith(b"one")
        assert ask(socket.AF_UNIX, str(path)).endswith(b"one")
        with Foreground(tmp_path, "-b", "unix:s", "source_app:app") as other:
            assert other.process.wait(DEADLINE) == 71
        assert "Address already in use" in server.log()
        assert ask(socket.AF_UNIX, str(path)).endswith(b"one")
        server.stop()
        assert not path.exists()


def test_replaces_the_socket_of_a_server_that_crashed(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with Foreground(tmp_path, "-w1", "-b", str(path), "source_app:app") as server:
        server.wait_for_log("Ready")
        assert ask(socket.AF_UNIX, str(path)).endswith(b"one")
        server.stop()


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="no systemd-socket-activate")
def test_systemd_socket_activate(tmp_path, port):
    activate = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=http"]
    for name in clean_environment(tmp_path):
        activate.append(f"--setenv={name}")
    with Foreground(tmp_path, "-w", "1", "source_app:app", wrapper=activate) as server:
        server.wait_for_log("Listening on")
        assert ask(socket.AF_INET, ("127.0.0.1", port)).endswith(b"one")
        server.stop()


def test_process_one_of_a_container(tmp_path, port):
    container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("may not make a PID namespace")
    with Foreground(tmp_path, "-w", "1", "-b", f"127.0.0.1:{port}", "source_app:app", wrapper=container) as server:
        server.wait_for_log("Ready")
        (first,) = [pid for pid, title in processes(server).items() if title.startswith("cgunicorn: supervisor")]
        assert ask(socket.AF_INET, ("127.0.0.1", port)).endswith(b"one")
        ask(socket.AF_INET, ("127.0.0.1", port), "/orphan")
        children = Path(f"/proc/{first}/task/{first}/children")
        poll(lambda: len(children.read_text().split()) == 2, "the orphan to be reaped")
        os.kill(first, signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 0, server.log()


# --- the command line ---


def run(*arguments, directory=None, **environment):
    return subprocess.run(
        [str(PROGRAM), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=directory,
        env={**clean_environment(directory or "/"), **environment},
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sevre"],
        ["serve"],
        ["serve", "--no-such"],
        ["serve", "-w"],
        ["serve", "a:b", "c:d"],
        ["serve", "-n", "No", "a:b"],
        ["serve", "-b", "no.such.host.invalid:80", "a:b"],
        ["check"],
        ["check", "--no-such"],
        ["check", "--ask"],
        ["check", "a", "b"],
    ],
)
def test_misuse(arguments):
    result = run(*arguments)
    assert result.returncode == 64
    assert not result.stdout and "--help" in result.stderr or "Usage" in result.stderr


def test_help_and_version():
    for arguments in (["--help"], ["help"], ["-h"], ["serve", "--help"], ["check", "--help"]):
        result = run(*arguments)
        assert result.returncode == 0 and result.stdout.startswith("Usage: cgunicorn") and not result.stderr
        assert max(map(len, result.stdout.splitlines())) <= 120
    assert re.fullmatch(r"cgunicorn \d+\.\d+\.\d+ \(Python 3\.\d+\)\n", run("--version").stdout)


def test_gunicorn_flags(tmp_path, port):
    (tmp_path / "lib").mkdir()
    flags = ["--bind", f"127.0.0.1:{port}", "--workers=2", "--threads=3", "-t30", "--graceful-timeout=5"]
    flags += ["--keep-alive=2", "--preload", "--chdir", ".", "--pythonpath", "lib,.", "-e", "A=1", "--env", "B=x,y"]
    flags += ["--access-logfile=-", "--access-logformat", "access %(m)s %(s)s", "--log-level=info", "-n", "shop"]
    flags += ["--limit-request-line=4094", "--limit-request-fields=50", "--limit-request-field_size=8190"]
    flags += ["--forwarded-allow-ips=*", "--worker-connections=10"]
    with Foreground(tmp_path, *flags, "--set", "log.level=debug", "source_app:app") as server:
        server.wait_for_log("Ready: 2 workers, 3 threads each")
        ask(socket.AF_INET, ("127.0.0.1", port))
        server.wait_for_log("(?m)^access GET 200$")
        titles = processes(server).values()
        assert "cgunicorn: supervisor [shop]" in titles
        assert any(re.fullmatch(r"cgunicorn: zygote.*\[shop\]", title) for title in titles)
        server.stop()


OK = f"ok, Python {platform.python_version()} in {EXECUTED}\n"


def test_check(tmp_path):
    site = tmp_path / "blog.ini"
    site.write_text(f"[app]\nmodule = source_app:app\nchdir = {tmp_path}\n")
    (tmp_path / "source_app.py").write_text(APP)
    result = run("check", str(site))
    assert (result.returncode, result.stdout) == (0, f"{site}: {OK}"), result.stderr
    result = run("check", "blog", CGUNICORN_SITES_DIRECTORY=str(tmp_path))
    assert (result.returncode, result.stdout) == (0, f"{site}: {OK}"), result.stderr

    (tmp_path / "source_app.py").write_text(BROKEN)
    result = run("check", str(site))
    assert result.returncode == 70 and not result.stdout
    assert "Traceback" in result.stderr and "ValueError: broken source" in result.stderr

    (tmp_path / "source_app.py").write_text("import os\nos._exit(3)\n")
    result = run("check", str(site))
    assert result.returncode == 70 and "exited with status 3" in result.stderr

    (tmp_path / "source_app.py").write_text("import time\ntime.sleep(1000)\n")
    site.write_text(site.read_text() + "[timeouts]\nload = 1s\n")
    result = run("check", str(site))
    assert result.returncode == 70 and "timeouts.load=1s" in result.stderr

    site.write_text(f"[app]\nmodule = source_app:app\nchdir = {tmp_path}\n[reload]\ncheck_path = /\n"
                    "[proxy]\nprotocol = all\n")
    (tmp_path / "source_app.py").write_text(APP)
    assert run("check", "--ask", str(site)).stdout == f"{site}: {OK}"
    for status, reason in {
        "500 Away": "reload.check_path: GET / was answered with 500 Away: one",
        "20": "reload.check_path: GET / was answered with 500 Internal Server Error",
    }.items():
        (tmp_path / "source_app.py").write_text(APP.replace("200 OK", status))
        assert run("check", str(site)).returncode == 0
        result = run("check", "--ask", str(site))
        assert result.returncode == 70 and reason in result.stderr and not result.stdout
    site.write_text(site.read_text().replace("[reload]\n", "[reload]\ncheck_timeout = 1s\n"))
    for code, reason in {
        "time.sleep(1000)": "the application was not asked reload.check_path within reload.check_timeout=1s",
        "os._exit(3)": "the process in which it was being asked reload.check_path exited with status 3",
    }.items():
        (tmp_path / "source_app.py").write_text(APP.replace("path = environ", f"{code}; path = environ"))
        result = run("check", "--ask", str(site))
        assert result.returncode == 70 and reason in result.stderr

    site.write_text("[app]\nmodul = source_app:app\n")
    result = run("check", str(site))
    assert result.returncode == 78 and f"{site}:2: app.modul: unknown key" in result.stderr
    assert run("check", str(tmp_path / "none.ini")).returncode == 78


def test_supervisor_has_no_python():
    libraries = subprocess.run(["ldd", str(PROGRAM)], capture_output=True, text=True, check=True).stdout
    assert "libsystemd" in libraries and "python" not in libraries
    assert list(BUILD.glob("cgunicorn-worker-3.*"))
