# SPDX-License-Identifier: MIT
"""The tables of tests/http against a whole server: each case whole, octet by octet, and split where lines end."""
import asyncio
import sys
from collections import defaultdict

import pytest

from harness import APPS, DEADLINE, running

sys.path.insert(0, str(APPS.parent / "http"))
# pylint: disable=wrong-import-position
from player import cut_at, judge, octet_by_octet, play, read_tables

CASES = read_tables()
SETTINGS = {"line": "request_line", "field": "field_size", "fields": "fields", "head": "head", "body": "body"}
AT_ONCE = 20  # the more, the longer each: 15 s for a head, octet by octet, are to be enough on a loaded machine


def line_ends(octets):
    """Offsets in, at and behind the first and the last line ends."""
    ends = [at for at in range(1, len(octets)) if octets[at - 1 : at] in (b"\r", b"\n")]
    return sorted({*ends[:6], *ends[-6:], len(octets) // 2} - {0})


def ways(case):
    """{name: options of play()}. Who asked for a close must not go on sending (RFC 9112 9.6): where it is answered
    before the rest is sent, the rest meets a closed connection."""
    result = {"whole": {}}
    if case.closes and case.has_rest:
        return result
    result["octet by octet"] = {"split": octet_by_octet, "is_followed": case.is_followed and not case.closes}
    if case.is_refused:
        result["alone"] = {"is_followed": False}
    for offset in line_ends(case.octets):
        result[f"split at {offset}"] = {"split": cut_at(offset)}
    return result


async def play_all(port, cases):
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(case, options):
        async with gate:
            return await play(port, case, patience=DEADLINE, deadline=DEADLINE, **options)

    plan = [(case, name, options) for case in cases for name, options in ways(case).items()]
    records = await asyncio.gather(*(one(case, options) for case, _, options in plan))
    found = defaultdict(dict)
    for (case, name, options), record in zip(plan, records):
        problem = judge(case, record, is_followed=options.get("is_followed"))
        if problem:
            found[id(case)][name] = problem
    return found


@pytest.fixture(scope="module")
def problems():
    """{id(case): {way: what is wrong}}; a server for each set of limits, all cases side by side."""
    groups, found = defaultdict(list), {}
    for case in CASES:
        groups[tuple(sorted(case.limits.items()))].append(case)
    for limits, cases in groups.items():
        config = {"limits_body": 0, **{f"limits_{SETTINGS[name]}": value for name, value in limits}}
        with running("conformance:app", config) as server:
            found.update(asyncio.run(play_all(server.port, cases)))
            server.check_alive()
    return found


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.topic}: {case.title}") for case in CASES])
def test_table(problems, case):
    wrong = problems.get(id(case), {})
    assert not wrong, "\n".join(f"{way}: {problem}" for way, problem in wrong.items())
