# SPDX-License-Identifier: MIT
"""The unit files as such."""

import pytest

from machine import HERE


@pytest.mark.parametrize("unit", ["cgunicorn@{}.service", "cgunicorn@{}.socket"])
def test_verify(site, unit):
    """Its exit status is 0 in spite of unknown keys, but not its output."""
    result = site.machine.run("systemd-analyze", "verify", unit.format(site.name), check=False)
    complaints = [line for line in (result.stdout + result.stderr).splitlines() if "cgunicorn" in line]
    assert complaints == []


def test_security(site):
    result = site.machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", site.service, check=False)
    assert result.returncode == 0, result.stdout


def test_lines_of_the_version(site):
    """The recipe for reload is the one that works with the systemd that it was built for."""
    kind, reload = site.show("Type"), site.show("ExecReload")
    if site.machine.systemd_version() < 253:
        assert kind == "notify" and "check" in reload and "RELOADING=1" in reload
    else:
        assert kind == "notify-reload" and "RELOADING=1" not in reload


def test_preset(machine):
    machine.systemctl("preset", "cgunicorn@preset.socket", check=False)
    assert machine.run("systemctl", "is-enabled", "cgunicorn@preset.socket", check=False).stdout.strip() == "disabled"


def test_layout(site):
    """What the manual says about users and directories is what the unit has."""
    for name, value in [("User", f"cgunicorn-{site.name}"), ("DynamicUser", "yes"), ("KillMode", "mixed"),
                        ("StateDirectory", f"cgunicorn/{site.name}"), ("OOMPolicy", "continue")]:
        assert site.show(name) == value
    assert site.machine.show(site.socket, "FileDescriptorName") == "http"


def test_manual_is_installed(machine):
    text = (HERE / "../../units/cgunicorn@.service.in").read_text()
    assert "man:cgunicorn.ini(5)" in text
    assert machine.run("sh", "-c", "ls /usr/share/man/man5/cgunicorn.ini.5* /usr/local/share/man/man5/cgunicorn.ini.5* "
                       "2>/dev/null", check=False).stdout
