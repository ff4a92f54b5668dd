# SPDX-License-Identifier: MIT
"""What the campaign measured, at the end of its run."""
import pytest

from harness import PROGRAM

reports = []


def pytest_configure(config):
    if not PROGRAM.exists():
        raise pytest.UsageError(f"{PROGRAM} is missing: CGUNICORN_BUILD_DIR must name the build directory")


@pytest.fixture
def report():
    """report({"case": …}): a line of the summary."""
    return reports.append


def pytest_terminal_summary(terminalreporter):
    for line in reports:
        words = [f"{key} {value}" for key, value in line.items() if key != "case"]
        terminalreporter.write_line(f"{line['case']}: {', '.join(words)}")
