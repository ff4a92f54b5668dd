# SPDX-License-Identifier: MIT
"""What cgunicorn has to reach, in one run, against limit, floor, the bare applications and the other servers."""
from dataclasses import dataclass
from typing import Callable

SELF = "cgunicorn"
GTHREAD = "gunicorn-new-gthread"
SELF_GEVENT, GEVENT = "cgunicorn-gevent", "gunicorn-new-gevent"


@dataclass
class Bar:
    workload: str
    text: str
    figure: Callable  # of Figures: the value, or None where it was not measured
    sign: str
    bound: float

    def is_met(self, figure):
        return figure <= self.bound if self.sign == "≤" else figure >= self.bound


def at_most(workload, text, bound, figure):
    return Bar(workload, text, figure, "≤", bound)


def at_least(workload, text, bound, figure):
    return Bar(workload, text, figure, "≥", bound)


def cpu_of(workload, other, bound):
    """cgunicorn's CPU time a request in that of limit or floor."""
    return at_most(workload, f"CPU, times that of {other}", bound, lambda f: f.ratio(SELF, other, workload))


def cpu_better(workload, peer, bound):
    return at_least(workload, f"CPU, times less than {peer}", bound, lambda f: f.ratio(peer, SELF, workload))


def rps_better(workload, peer, bound):
    return at_least(workload, f"requests/s, times those of {peer}", bound, lambda f: f.ratio(SELF, peer, workload, "rps"))


def instructions(workload, bound):
    return at_most(workload, "user instructions", bound, lambda f: f.data["instructions"].get(workload))


def gevent_cpu_better(workload, bound):
    return at_least(workload, f"CPU, times less than {GEVENT}", bound, lambda f: f.ratio(GEVENT, SELF_GEVENT, workload))


def gevent_cpu_of_bare(workload, bound):
    return at_most(workload, "CPU, times that of the application alone", bound, lambda f: f.against_bare(workload, SELF_GEVENT))


def extra(workload, text, sign, bound, name, key):
    return Bar(workload, text, lambda f: f.extra(SELF, name, key), sign, bound)


def value(workload, text, sign, bound, key):
    return Bar(workload, text, lambda f: f.median(SELF, workload, key), sign, bound)


def against_best(workload):
    """Requests a second against those of the best peer."""

    def figure(figures):
        ratios = [figures.ratio(SELF, peer, workload, "rps") for peer in figures.peers()]
        return min((ratio for ratio in ratios if ratio), default=None)

    return figure


def start_against(peer):
    def figure(figures):
        own, other = (figures.extra(server, "start", "hello_ms") for server in (SELF, peer))
        return other / own if own and other else None

    return figure


BARS = [
    cpu_of("hello", "limit", 1.15),
    instructions("hello", 7500),
    cpu_better("hello", "fastwsgi", 1.3),
    cpu_better("hello", "bjoern", 1.3),
    cpu_better("hello", "uwsgi-http11", 3),
    cpu_better("hello", GTHREAD, 25),
    cpu_better("hello", "granian", 1),
    cpu_of("close", "limit", 0.85),
    at_least("close", "requests/s, times those of the best peer", 1.1, against_best("close")),
    cpu_better("close", "bjoern", 1.5),
    cpu_of("json", "floor", 1.25),
    instructions("json", 15500),
    cpu_better("json", "fastwsgi", 1.5),
    cpu_better("json", "bjoern", 1.5),
    cpu_better("json", GTHREAD, 25),
    cpu_of("big", "limit", 1.1),
    cpu_better("big", "fastwsgi", 1),
    cpu_better("big", "bjoern", 3.8),
    cpu_of("echo", "limit", 1.2),
    cpu_better("echo", "fastwsgi", 1),
    cpu_better("echo", "bjoern", 1.5),
    cpu_of("upload", "limit", 1.7),
    cpu_better("upload", "fastwsgi", 1.2),
    cpu_better("upload", "bjoern", 3.7),
    cpu_better("upload", GTHREAD, 14),
    value("gen", "CPU µs", "≤", 60, "cpu_usec"),
    cpu_better("gen", "uwsgi-http", 2.8),
    cpu_better("gen", "fastwsgi", 4.5),
    cpu_better("gen", "bjoern", 8),
    value("events", "first block, ms", "≤", 1, "first_ms"),
    value("events", "99 of 100 events, ms", "≤", 1, "p99_ms"),
    cpu_of("file", "limit", 1),
    cpu_better("file", "mod_wsgi", 1),
    cpu_better("file", "uwsgi-http11", 1),
    value("sleep", "requests/s, of 3200", "≥", 3040, "rps"),
    value("pipeline", "requests/s", "≥", 500000, "rps"),
    rps_better("pipeline", "fastwsgi", 20),
    gevent_cpu_better("gevent", 10),
    gevent_cpu_better("gevent64", 6),
    gevent_cpu_better("gevent512", 6),
    gevent_cpu_of_bare("gevent64", 3.5),
    gevent_cpu_of_bare("gevent512", 3.5),
    at_least("gevent64", "requests/s", 5000, lambda f: f.median(SELF_GEVENT, "gevent64", "rps")),
    at_least("gevent512", f"requests/s, times those of {GEVENT}", 3,
             lambda f: f.ratio(SELF_GEVENT, GEVENT, "gevent512", "rps")),
    at_most("flask", "CPU, times that of the application alone", 1.15, lambda f: f.against_bare("flask")),
    cpu_better("flask", "bjoern", 1.2),
    cpu_better("flask", "fastwsgi", 1.35),
    cpu_better("flask", GTHREAD, 4),
    at_most("django", "CPU, times that of the application alone", 1.12, lambda f: f.against_bare("django")),
    cpu_better("django", "fastwsgi", 1),
    cpu_better("django", "bjoern", 1.5),
    cpu_better("django", GTHREAD, 3),
    extra("10,000 idle", "part kept of hello", "≥", 0.97, "idle", "kept_10000"),
    extra("10,000 idle", "KiB each", "≤", 0.5, "idle", "kib_each_10000"),
    extra("200 slow", "part kept of hello", "≥", 0.97, "slow", "kept"),
    extra("200 slow", "closed by the server", "≥", 200, "slow", "closed"),
    extra("4 workers", "p99 beside slow requests, times that without", "≤", 2, "tail", "p99_ratio"),
    extra("4 workers", "median beside slow requests, times that without", "≤", 1.1, "tail", "p50_ratio"),
    extra("600 slow", "part kept of what is busy 5 ms", "≥", 0.9, "crowd", "kept"),
    extra("start", "ms from exec to the first answer", "≤", 40, "start", "hello_ms"),
    extra("start", "with Flask, times its import", "≤", 1.03, "start", "import_ratio"),
    at_least("start", "times faster than gunicorn", 5, start_against("gunicorn-new-sync")),
    extra("memory", "8 preloaded workers with Flask, MiB", "≤", 55, "memory8", "pss_mib"),
    extra("memory", "10,000 requests later, times that", "≤", 1.05, "memory8", "later_ratio"),
    extra("memory", "of that the supervisor, MiB", "≤", 1.5, "memory8", "root_mib"),
    extra("2 workers", "CPU a request, times that of 1", "≤", 1.05, "two", "cpu_ratio"),
    extra("2 workers", "largest share of the connections", "≤", 0.65, "two", "share"),
]
