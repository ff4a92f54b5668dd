# SPDX-License-Identifier: MIT
"""Medians of the samples, and the tables."""
from statistics import median


def medians(samples):
    """{server: {workload: {rps, p99_ms, cpu_usec} or {"failure": text}}}"""
    result = {}
    for server, workloads in samples.items():
        for workload, runs in workloads.items():
            good = [run for run in runs if "failure" not in run]
            cell = {"failure": next(run["failure"] for run in runs if "failure" in run)} if len(good) < len(runs) else {
                key: median(run[key] for run in good) for key in good[0]}
            result.setdefault(server, {})[workload] = cell
    return result


def number(value):
    if value >= 10000:
        return f"{value / 1000:.1f}k"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def cell_text(cell, text):
    if cell is None:
        return ""
    return "fails" if "failure" in cell else text(cell)


def table(title, header, rows):
    yield f"\n{title}\n"
    yield "| " + " | ".join([""] + header) + " |"
    yield "|---|" + "---:|" * len(header)
    for name, cells in rows:
        yield "| " + " | ".join([name] + cells) + " |"


def result_rows(result, workloads, text):
    for server, cells in result.items():
        yield server, [cell_text(cells.get(workload), text) for workload in workloads]


def ratio_rows(result, workloads):
    """How many times the requests a second, and how many times less CPU time a request."""
    own = result["cgunicorn"]
    for server, cells in result.items():
        if server == "cgunicorn":
            continue
        row = []
        for workload in workloads:
            cell, mine = cells.get(workload), own.get(workload)
            if cell is None or mine is None or "failure" in mine:
                row.append("")
            else:
                row.append(cell_text(cell, lambda c, m=mine: f"{m['rps'] / c['rps']:.2f} · "
                                                             f"{c['cpu_usec'] / m['cpu_usec']:.2f}"))
        yield server, row


def footprint_rows(memory, starts):
    for server in sorted(set(memory) | set(starts), key=lambda name: (name != "cgunicorn", name)):
        start = starts.get(server, {})
        cells = [f"{start[app]:.0f}" if start.get(app) else "" for app in ("plain", "flask_app")]
        cells += [f"{memory[server][n] / 1024:.1f}" if n in memory.get(server, {}) else "" for n in ("1", "4")]
        yield server, cells


def markdown(data):
    result, workloads = data["medians"], data["workloads"]
    yield f"{data['machine']}; {data['rounds']} interleaved rounds of {data['seconds']} s, medians; "\
          f"{data['workers']} worker(s), {data['connections']} connections."
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in data["versions"].items() if version) + "."
    yield from table("Requests a second · CPU µs of the server a request", workloads, result_rows(
        result, workloads, lambda cell: f"{number(cell['rps'])} · {number(cell['cpu_usec'])}"))
    yield from table("99th percentile of latency, ms", workloads, result_rows(
        result, workloads, lambda cell: number(cell["p99_ms"])))
    if "cgunicorn" in result:
        yield from table("cgunicorn against each: times the requests a second · times less CPU a request", workloads,
                         ratio_rows(result, workloads))
    if data["starts"] or data["memory"]:
        yield from table("From exec to the first answer, ms; PSS of all processes with Flask, MiB",
                         ["start, plain", "start, Flask", "1 worker", "4 workers"],
                         footprint_rows(data["memory"], data["starts"]))
    failures = [f"{server}, {workload}: {cell['failure']}" for server, cells in result.items()
                for workload, cell in cells.items() if "failure" in cell]
    if failures:
        yield "\nFailures:\n"
        yield from (f"- {failure}" for failure in failures)
