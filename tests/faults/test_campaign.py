# SPDX-License-Identifier: MIT
"""Every fault of cases.py, under load. CGUNICORN_FAULTS_ROUNDS=N plays all of them, N times; without it, each quick one is
played once."""
import os
import re
from pathlib import Path

import pytest

import cases  # noqa: F401 (registers them)
from campaign import CASES, run
from rows import ROWS

SYSTEMD = Path(__file__).parent.parent / "systemd/test_faults.py"
ROUNDS = int(os.environ.get("CGUNICORN_FAULTS_ROUNDS", "0"))


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
