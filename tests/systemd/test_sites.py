# SPDX-License-Identifier: MIT
"""What sites have of their own: users, directories, settings of the generator; and real applications in them."""

import json
import pathlib

import pytest

from machine import APP, HERE

WHO = """\
import json, os, sqlite3


def application(environ, start_response):
    state = os.environ["STATE_DIRECTORY"]
    if environ["PATH_INFO"] == "/count":
        with sqlite3.connect(state + "/count.sqlite3") as database:
            database.execute("CREATE TABLE IF NOT EXISTS visits (n)")
            database.execute("INSERT INTO visits VALUES (1)")
            answer = database.execute("SELECT count(*) FROM visits").fetchone()[0]
    elif environ["PATH_INFO"] == "/read":
        try:
            answer = os.listdir(environ["QUERY_STRING"])
        except OSError as error:
            answer = error.strerror
    else:
        answer = {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "home": os.environ["HOME"],
                  "directory": os.getcwd(), "environment": dict(os.environ)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


def ask(site, path="/"):
    return json.loads(site.get(path))


def test_two_sites_are_two_users(make_site):
    one, two = make_site(WHO).start(), make_site(WHO).start()
    users = ask(one)["uid"], ask(two)["uid"]
    assert users[0] != users[1] and 0 not in users
    assert ask(one, "/count") == 1
    for path in "/var/lib/private/cgunicorn", "/var/lib/cgunicorn":
        assert ask(two, f"/read?{path}/{one.name}") in ("No such file or directory", "Permission denied")


def test_directories(make_site):
    site = make_site(WHO).start()
    answer = ask(site)
    environment = answer["environment"]
    assert environment["STATE_DIRECTORY"] == answer["home"] == f"/var/lib/cgunicorn/{site.name}"
    assert environment["CACHE_DIRECTORY"] == f"/var/cache/cgunicorn/{site.name}"
    assert environment["LOGS_DIRECTORY"] == f"/var/log/cgunicorn/{site.name}"
    assert answer["directory"] == f"/srv/{site.name}"
    for name in "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
        assert name not in environment


def test_state_survives_restarts(make_site):
    site = make_site(WHO).start()
    assert [ask(site, "/count") for _ in range(2)] == [1, 2]
    site.systemctl("restart")
    assert ask(site, "/count") == 3


def test_bytecode_goes_to_the_cache(make_site):
    site = make_site(WHO).start()
    site.get()
    found = site.machine.run("find", f"/var/cache/private/cgunicorn/{site.name}/pycache/srv", "-name", "app.*.pyc").stdout
    assert found.count("\n") == 1
    assert not site.machine.path(f"/srv/{site.name}/__pycache__").exists()


# --- the generator

def test_listen(make_site):
    site = make_site(ini="[socket]\nlisten = 8011 [::1]:8012 /run/cgunicorn/other.sock\nmode = 0600\n").start_socket()
    for address in "http://127.0.0.1:8011/", "http://[::1]:8012/":
        assert site.machine.run("curl", "-sS", "--max-time", "30", address).stdout == "hello\n"
    socket = site.machine.path("/run/cgunicorn/other.sock")
    assert socket.stat().st_mode & 0o777 == 0o600
    assert not site.machine.path(f"/run/cgunicorn/{site.name}.sock").exists()
    assert site.machine.run("curl", "-sS", "--unix-socket", "/run/cgunicorn/other.sock", "http://x/").stdout == "hello\n"


def test_privileged_port(make_site):
    site = make_site(WHO, ini="[socket]\nlisten = 127.0.0.1:81\n").start_socket()
    answer = json.loads(site.machine.run("curl", "-sS", "--max-time", "30", "http://127.0.0.1:81/").stdout)
    assert answer["uid"] != 0


def test_default_socket(site):
    site.start_socket()
    status = site.machine.path(f"/run/cgunicorn/{site.name}.sock").stat()
    assert status.st_mode & 0o777 == 0o660
    assert status.st_gid == int(site.machine.run("id", "-g", "www-data").stdout)


def test_user(make_site):
    site = make_site(WHO, ini="[service]\nuser = games\nenvironment-file = /etc/cgunicorn-test.env\n")
    site.machine.write("/etc/cgunicorn-test.env", "SECRET='of \"games\" 100%'\n", mode=0o600)
    answer = ask(site.start())
    assert answer["uid"] == int(site.machine.run("id", "-u", "games").stdout)
    assert answer["gid"] == int(site.machine.run("id", "-g", "games").stdout)
    assert answer["environment"]["SECRET"] == 'of "games" 100%'
    assert ask(site, "/count") == 1


def test_group_of_a_dynamic_user(make_site):
    site = make_site(WHO, ini="[service]\ngroup = games\n").start()
    answer = ask(site)
    assert answer["gid"] == int(site.machine.run("getent", "group", "games").stdout.split(":")[2])
    assert answer["uid"] >= 61184  # systemd's range of dynamic users


def test_timeouts(make_site):
    site = make_site(ini="[timeouts]\ngraceful = 5min\nload = 2min\n")
    assert site.show("TimeoutStopUSec") == "5min 10s"
    assert site.show("TimeoutStartUSec") == "2min 30s"


def test_changed_ini_is_noticed(make_site):
    """Where the units depend on the INI file, systemctl says that daemon-reload is due."""
    site = make_site(ini="[socket]\nlisten = 8013\n").start_socket()
    assert site.machine.show(site.socket, "NeedDaemonReload") == "no"
    site.write_ini("[socket]\nlisten = 8014\n")
    assert site.machine.show(site.socket, "NeedDaemonReload") == "yes"
    site.machine.systemctl("daemon-reload")
    assert "8014" in site.machine.show(site.socket, "Listen")


def test_broken_ini_breaks_no_other_site(make_site):
    broken, good = make_site(ini="[socket]\nlisten = nowhere\n"), make_site(ini="[socket]\nlisten = 8015\n")
    assert "8015" in good.machine.show(good.socket, "Listen")
    assert f"{broken.name}.sock" in broken.machine.show(broken.socket, "Listen")


# --- sandbox

@pytest.mark.parametrize("key", ["chdir", "virtualenv", "pythonpath"])
def test_home_is_closed(make_site, key):
    """And the error says so."""
    site = make_site()
    site.machine.write("/home/somebody/app.py", APP)
    site.machine.write("/home/somebody/pyvenv.cfg", "home = /usr/bin\nversion = 3.11\n")
    site.write_ini(app_section=f"module = app\n{key} = /home/somebody\n")
    assert site.systemctl("start", check=False).returncode != 0
    assert "ProtectHome" in site.journal_text()


@pytest.mark.parametrize("name", ["strict", "no-network"])
def test_shipped_drop_in(make_site, name):
    site = make_site(WHO)
    site.write_drop_in((HERE / f"../../conf/{name}.conf").read_text())
    assert ask(site.start())["uid"] != 0


# --- applications

@pytest.fixture(scope="module")
def apps(machine):
    machine.copy_tree(HERE / "../apps", "/srv/apps")
    return "/srv/apps"


def has_module(machine, name):
    python = pathlib.Path("/usr/bin/python3")
    return machine.run(str(python), "-c", f"import {name}", check=False).returncode == 0


def framework_site(make_site, apps, module, **environment):
    site = make_site(None)
    lines = "".join(f"    {name}={value}\n" for name, value in environment.items())
    site.write_ini(app_section=f"module = {module}\nchdir = {apps}\nenvironment =\n{lines}")
    return site


def visit(site, connection, path, cookies):
    connection.request("GET", path, headers={"Cookie": cookies} if cookies else {})
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, body
    return body, "; ".join(value.partition(";")[0] for value in response.headers.get_all("Set-Cookie", [])) or cookies


def check_session(site):
    """Three visits of one session, over one connection."""
    connection, cookies = site.connect(), None
    for number in 1, 2, 3:
        body, cookies = visit(site, connection, "/counter", cookies)
        assert json.loads(body)["visits"] == number
    connection.close()


def test_flask(machine, make_site, apps):
    if not has_module(machine, "flask"):
        pytest.skip("python3-flask is not installed")
    site = framework_site(make_site, apps, "flasksite:app").start_socket()
    assert "It works, systemd." in site.get("/?name=systemd")
    check_session(site)
    answer = json.loads(site.get("/database"))
    assert answer["state"] == str(pathlib.Path(f"/var/lib/private/cgunicorn/{site.name}"))
    assert site.get("/stream?lines=3") == "line 0\nline 1\nline 2\n"


def test_django(machine, make_site, apps):
    if not has_module(machine, "django"):
        pytest.skip("python3-django is not installed")
    site = framework_site(make_site, apps, "djangosite.wsgi:application", DJANGO_SETTINGS_MODULE="djangosite.settings")
    site.write_drop_in("[Service]\nExecStartPre=env DJANGO_SETTINGS_MODULE=djangosite.settings "
                       f"PYTHONPATH={apps} /usr/bin/python3 -m django migrate\n")
    site.start_socket()
    assert "It works, systemd." in site.get("/?name=systemd")
    check_session(site)
    answer = json.loads(site.get("/database"))
    assert (answer["sessions"], answer["vendor"]) == (1, "sqlite")
    assert site.get("/stream?lines=3") == "line 0\nline 1\nline 2\n"


def test_behind_nginx(machine, make_site, apps):
    if not machine.run("which", "nginx", check=False).stdout:
        pytest.skip("nginx is not installed")
    site = make_site(WHO.replace('"uid"', '"scheme": environ["wsgi.url_scheme"], "peer": environ["REMOTE_ADDR"], "uid"'))
    site.start_socket()
    machine.write("/etc/cgunicorn-nginx.conf", f"""\
user www-data;
pid /run/cgunicorn-nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:8016;
        location / {{
            proxy_pass http://unix:/run/cgunicorn/{site.name}.sock;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
        }}
    }}
}}
""")
    machine.run("systemd-run", "--unit=cgunicorn-nginx", "--property=Type=forking",
                "--property=PIDFile=/run/cgunicorn-nginx.pid", "nginx", "-c", "/etc/cgunicorn-nginx.conf")
    try:
        answer = json.loads(machine.run("curl", "-sS", "--max-time", "30", "http://127.0.0.1:8016/").stdout)
        assert (answer["scheme"], answer["peer"]) == ("https", "127.0.0.1")
    finally:
        machine.systemctl("stop", "cgunicorn-nginx")
