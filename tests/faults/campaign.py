# SPDX-License-Identifier: MIT
"""The table of faults: what is done to a server under load (a function of a target.Target), and what may come of it. The
functions are in cases.py; what they have in common for users is a row of rows.py."""
import re
from dataclasses import dataclass, field

from rows import ROWS
from supervision import ignore_faults
from target import start

CASES = {}


@dataclass(frozen=True)
class Case:
    name: str
    act: object
    row: str
    config: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    prepare: object = None  # called with the harness.Server before its start
    n_workers: int = 2
    refusals: tuple = ()  # the statuses that requests in the process that is struck may be refused with
    needs_root: bool = False
    long: bool = False  # not in the short form


def fault(row, **options):
    """Registers a function as the case of its name."""

    def register(function):
        name = function.__name__.replace("_", "-")
        assert name not in CASES and row in ROWS
        CASES[name] = Case(name, function, row, **options)
        return function

    return register


def pattern(said):
    """A regular expression for what a row quotes of the journal, in which "…" stands for anything."""
    return re.escape(said).replace("…", ".*?")


def run(case):
    """Plays one case; returns its report."""
    target = start(case.config, case.n_workers, case.prepare, **case.options)
    server = target.server
    try:
        with target.load as load:
            load.wait_for_more()
            case.act(target)
            msec = target.wait_until_whole()
            load.wait_for_more()
        load.check(target.directory, hit=target.hit, refusals=case.refusals)
        target.check_nothing_is_left()
        target.check_every_worker_answers()
        for said in ROWS[case.row].journal:
            server.wait_for_log(pattern(said))
        ignore_faults(server)
        server.stop()
        return {"case": case.name, "whole_msec": round(msec, 1), **load.account()}
    finally:
        server.destroy()
