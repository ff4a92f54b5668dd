# SPDX-License-Identifier: MIT
"""What the journal has of a site, and how it is found there."""

import re

import pytest

from machine import HERE, wait_until

TALKATIVE = """\
import sys


def application(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("first line\\nsecond line")
    print("to stdout")
    print("to stderr", file=sys.stderr)
    print("to wsgi.errors", file=environ["wsgi.errors"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    import os
    return [str(os.getpid()).encode()]
"""


def test_output_of_the_application(make_site):
    """Every stream has a priority and the PID of its worker."""
    site = make_site(TALKATIVE).start()
    pid = site.get()
    priorities = {"to stdout": "6", "to stderr": "4", "to wsgi.errors": "3"}
    wait_until(lambda: all(text in site.journal_text() for text in priorities), "all three lines")
    for record in site.journal(f"_PID={pid}"):
        if record["MESSAGE"] in priorities:
            assert record["PRIORITY"] == priorities.pop(record["MESSAGE"])
            assert record["SYSLOG_IDENTIFIER"] == f"cgunicorn-{site.name}"
            assert record["CGUNICORN_SITE"] == site.name
    assert priorities == {}


def test_fields_of_the_server(make_site):
    site = make_site(TALKATIVE, ini="[workers]\ncount = 1\n").start()
    records = site.machine.journal(f"CGUNICORN_SITE={site.name}", f"MESSAGE_ID={site.machine.message_id('STARTED')}")
    assert len(records) == 1
    assert site.name in str(records[0]["CGUNICORN_SITE"])
    site.systemctl("reload")
    assert site.request("/fail")[0] == 500
    failed = [f"CGUNICORN_SITE={site.name}", f"MESSAGE_ID={site.machine.message_id('APP_ERROR')}", "GENERATION=2", "WORKER=0"]
    record = wait_until(lambda: site.machine.journal(*failed), "the error of generation 2, worker 0")[0]
    assert record["PRIORITY"] == "3"
    assert "/fail" in record["MESSAGE"]
    assert "Traceback" in record["MESSAGE"] and "first line\nsecond line" in record["MESSAGE"]


def test_access_log(make_site):
    site = make_site(TALKATIVE, ini="[log]\naccess = journal\n").start()
    site.get("/page?x=1")
    site.request("/fail", headers={"User-Agent": "test", "Host": "shop.example"})
    found = ["-u", site.service, "HTTP_STATUS=500"]
    record = wait_until(lambda: site.machine.journal(*found), "the record of status 500")[0]
    assert (record["HTTP_METHOD"], record["HTTP_PATH"], record["HTTP_HOST"], record["HTTP_USER_AGENT"]) == \
        ("GET", "/fail", "shop.example", "test")
    assert int(record["DURATION_USEC"]) >= 0
    assert record["PRIORITY"] == "3"
    assert len(wait_until(lambda: site.machine.journal("-u", site.service, "HTTP_STATUS=200"), "status 200")) == 1


def test_access_log_in_a_file(make_site):
    site = make_site(TALKATIVE)
    site.write_ini(f"[log]\naccess = /var/log/cgunicorn/{site.name}/access.log\naccess_format = %(m)s %(U)s %(s)s\n")
    site.start().get("/page")
    path = f"/var/log/cgunicorn/{site.name}/access.log"
    assert wait_until(lambda: site.machine.run("cat", path, check=False).stdout, "a line") == "GET /page 200\n"


@pytest.mark.parametrize("name, identifier", re.findall(r'define MESSAGE_(\w+) "(\w+)"',
                                                        (HERE / "../../src/base/message-ids.h").read_text()))
def test_catalog(machine, name, identifier):
    entry = machine.run("journalctl", "--dump-catalog", identifier, check=False)
    assert entry.returncode == 0, f"{name} is not in the catalog"
    assert "Defined-By: cgunicorn" in entry.stdout


def test_explanation(make_site):
    """journalctl -x says what to do about it."""
    site = make_site("1/0\n")
    site.systemctl("start", check=False)
    site.machine.run("journalctl", "--sync")
    text = site.machine.run("journalctl", "-x", "-u", site.service).stdout
    assert f"The application of site {site.name} cannot be loaded" in text
    assert f"cgunicorn check {site.name}" in text
