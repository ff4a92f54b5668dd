# SPDX-License-Identifier: MIT
"""The systemd generator: which drop-ins it writes for which INI files. What systemd makes of them is tested in
tests/systemd."""

import os
import pathlib
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("CGUNICORN_BUILD_DIR", "build"))
APP = "[app]\nmodule = shop\n"


class Generator:
    def __init__(self, directory):
        self.sites = directory / "sites"
        self.normal = directory / "normal"
        for path in self.sites, self.normal, directory / "early", directory / "late":
            path.mkdir()
        self.arguments = [self.normal, directory / "early", directory / "late"]

    def write(self, name, text):
        (self.sites / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def run(self, *arguments):
        environment = dict(os.environ, CGUNICORN_SITES_DIRECTORY=str(self.sites))
        return subprocess.run([BUILD / "cgunicorn-generator", *(arguments or self.arguments)], env=environment,
                              capture_output=True, text=True, timeout=30)

    def drop_ins(self):
        """{"shop.socket": ["ListenStream=", …]}: the settings without the comment and [Unit]."""
        found = {}
        for path in sorted(self.normal.rglob("*.conf")):
            head, _, settings = path.read_text().partition("\n\n")
            site = path.parent.name[len("cgunicorn@"):].partition(".")[0]
            assert path.name == "50-cgunicorn.conf"
            assert head.endswith(f"[Unit]\nSourcePath={self.sites}/{site}.ini")
            found[path.parent.name[len("cgunicorn@"):-len(".d")]] = settings.splitlines()
        return found


@pytest.fixture
def generator(tmp_path):
    return Generator(tmp_path)


def run_quietly(generator):
    result = generator.run()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return generator.drop_ins()


def test_nothing_for_defaults(generator):
    generator.write("shop.ini", APP + "[workers]\ncount = 8\n[timeouts]\ngraceful = 30\nload = 60\n")
    assert run_quietly(generator) == {}
    assert list(generator.normal.iterdir()) == []


def test_socket(generator):
    generator.write("shop.ini", APP + "[socket]\nlisten = 80 [::1]:8080\n    /run/100%.sock\ngroup = nginx\nmode = 0600\n")
    assert run_quietly(generator) == {"shop.socket": [
        "[Socket]", "ListenStream=", "ListenStream=80", "ListenStream=[::1]:8080", "ListenStream=/run/100%%.sock",
        "SocketGroup=nginx", "SocketMode=0600"]}


def test_group_of_the_default_socket(generator):
    generator.write("shop.ini", APP + "[socket]\ngroup = nginx\n")
    assert run_quietly(generator) == {"shop.socket": ["[Socket]", "SocketGroup=nginx"]}


def test_user(generator):
    generator.write("shop.ini", APP + "[service]\nuser = shop\ngroup = shops\nenvironment-file = /etc/shop \"1\".env\n")
    assert run_quietly(generator) == {"shop.service": [
        "[Service]", "DynamicUser=no", "User=shop", "Group=shops", "EnvironmentFile=/etc/shop \"1\".env"]}


def test_group_of_a_dynamic_user(generator):
    generator.write("shop.ini", APP + "[service]\ngroup = shops\n")
    assert run_quietly(generator) == {"shop.service": ["[Service]", "Group=shops"]}


def test_timeouts(generator):
    generator.write("shop.ini", APP + "[timeouts]\ngraceful = 31s\nload = 3min\n")
    assert run_quietly(generator) == {"shop.service": ["[Service]", "TimeoutStartSec=210s", "TimeoutStopSec=41s"]}


@pytest.mark.parametrize("broken, message", [
    ("[app]\n", "app.module: missing"),
    (APP + "[socket]\nlisten = nowhere\nmode = 8\n", ":4: socket.listen: \"nowhere\" is no address"),
    (b"[app]\nmodule = \xff\n", ":2: an octet that is not UTF-8"),
    (b"x" * (1024 * 1024 + 1), "larger than 1 MiB"),
    (APP + "[service]\nenvironment-file = /etc/a\\\n", "backslash"),
], ids=["missing", "value", "octet", "size", "backslash"])
def test_broken_file_is_skipped_alone(generator, broken, message):
    generator.write("alpha.ini", APP + "[socket]\nlisten = 81\n")
    generator.write("broken.ini", broken)
    generator.write("omega.ini", APP + "[socket]\nlisten = 82\n")
    result = generator.run()
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr and "skipped" in result.stderr and f"{generator.sites}/broken.ini" in result.stderr
    assert list(generator.drop_ins()) == ["alpha.socket", "omega.socket"]


def test_names(generator):
    """Other files than *.ini are none of its business; an INI file that cannot be a site is reported."""
    text = APP + "[socket]\nlisten = 81\n"
    for name in "shop.ini~", "shop.ini.dpkg-old", ".shop.ini", "README", ".ini", "Shop.ini", "a b.ini", "x" * 22 + ".ini":
        generator.write(name, text)
    (generator.sites / "directory.ini").mkdir()
    result = generator.run()
    assert result.returncode == 0
    assert generator.drop_ins() == {}
    skipped = sorted(line.partition(": ")[2] for line in result.stderr.splitlines())
    assert len(skipped) == 4
    for name in "Shop.ini", "a b.ini", "x" * 22 + ".ini", "directory.ini":
        assert sum(f"/{name}:" in line for line in skipped) == 1


def test_second_run_replaces(generator):
    generator.write("shop.ini", APP + "[socket]\nlisten = 8001 8002\n")
    run_quietly(generator)
    generator.write("shop.ini", APP + "[socket]\nlisten = 83\n")
    assert run_quietly(generator) == {"shop.socket": ["[Socket]", "ListenStream=", "ListenStream=83"]}


def test_no_sites_directory(generator):
    generator.sites.rmdir()
    assert run_quietly(generator) == {}


def test_unwritable_output(generator):
    generator.write("shop.ini", APP + "[socket]\nlisten = 81\n")
    result = generator.run("/nonexistent")
    assert result.returncode == 0
    assert "shop.ini: skipped, No such file or directory" in result.stderr


def test_usage():
    result = subprocess.run([BUILD / "cgunicorn-generator"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert "usage:" in result.stderr
