# SPDX-License-Identifier: MIT
"""Every fault of cases.py, under load. CGUNICORN_TEST_FAULT_ROUNDS=N plays all of them, N times; without it, each quick one
is played once."""
import os
import re
from pathlib import Path

import pytest

import cases  # noqa: F401 (registers them)
from campaign import CASES, run
from rows import ROWS
from target import start

SYSTEMD = Path(__file__).parent.parent / "systemd/test_faults.py"
ROUNDS = int(os.environ.get("CGUNICORN_TEST_FAULT_ROUNDS", "0"))


@pytest.mark.parametrize("number", range(max(ROUNDS, 1)))
@pytest.mark.parametrize("case", [c for c in CASES.values() if ROUNDS or not c.long], ids=lambda c: c.name)
def test_fault(case, number, report):
    if case.needs_root and os.geteuid() != 0:
        pytest.skip("needs root")
    report(run(case))


def test_every_row_is_played():
    """Here, or in a booted systemd."""
    played = {case.row for case in CASES.values()} | set(re.findall(r'check\(target, "([\w-]+)"', SYSTEMD.read_text()))
    assert played == set(ROWS)


def time_to_full_strength():
    target = start({"workers_preload": "yes"})
    try:
        with target.load as load:
            load.wait_for_more()
            target.strike(target.a_worker())
            return target.wait_until_whole()
    finally:
        target.server.destroy()


def test_time_to_full_strength(report):
    """From kill -9 of a worker until another accepts in its place, with the application preloaded."""
    times = sorted(time_to_full_strength() for _ in range(20 if ROUNDS else 3))
    report({"case": "kill -9 to full strength, msec", "median": round(times[len(times) // 2], 1), "most": round(times[-1], 1)})
