# SPDX-License-Identifier: MIT
"""The figures of results.json, and their tables."""
from statistics import median

from bars import BARS
from servers import OWN
from workloads import BY_NAME, WORKLOADS


class Figures:
    """None where something was not measured."""

    def __init__(self, data):
        self.data = data

    def samples(self, server, workload):
        """None for the rounds without."""
        if workload in self.data["failures"].get(server, {}):
            return []
        return self.data["samples"].get(server, {}).get(workload, [])

    def median(self, server, workload, key):
        values = [sample[key] for sample in self.samples(server, workload) if sample and key in sample]
        return median(values) if values else None

    def ratio(self, one, other, workload, key="cpu_usec"):
        """one / other: the median of the rounds in which both were measured, one after the other."""
        pairs = zip(self.samples(one, workload), self.samples(other, workload))
        ratios = [a[key] / b[key] for a, b in pairs if a and b and key in a and key in b and b[key]]
        return median(ratios) if ratios else None

    def extra(self, server, name, key):
        return self.data["extras"].get(server, {}).get(name, {}).get(key)

    def servers(self):
        return list(self.data["samples"])

    def peers(self):
        return [server for server in self.servers() if server not in OWN and server != "cgunicorn"]

    def against_bare(self, workload, server="cgunicorn"):
        bare = self.data["bare"].get(workload)
        pairs = zip(self.samples(server, workload), bare or [])
        ratios = [sample["cpu_usec"] / usec for sample, usec in pairs if sample]
        return median(ratios) if ratios else None


def number(value):
    if value is None:
        return ""
    if value >= 10000:
        return f"{value / 1000:.1f}k"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def table(header, rows):
    yield "| " + " | ".join([""] + header) + " |"
    yield "|---|" + "---:|" * len(header)
    for name, cells in rows:
        yield "| " + " | ".join([f"**{name}**" if name == "cgunicorn" else name] + cells) + " |"


def titled(title, header, rows):
    yield f"\n{title}\n"
    yield from table(header, rows)


def measured(figures):
    """The workloads of which there are requests a second."""
    return [w.name for w in WORKLOADS if any(figures.median(s, w.name, "rps") for s in figures.servers())]


def speed_cell(figures, server, workload):
    if workload in figures.data["failures"].get(server, {}):
        return "fails"
    rps = figures.median(server, workload, "rps")
    return f"{number(rps)} · {number(figures.median(server, workload, 'cpu_usec'))}" if rps else ""


def speed_rows(figures, workloads):
    for server in figures.servers():
        yield server, [speed_cell(figures, server, workload) for workload in workloads]


def bare_row(figures, workloads):
    return "the application alone", [
        f"· {number(median(figures.data['bare'][w]))}" if figures.data["bare"].get(w) else "" for w in workloads]


def latency_rows(figures, workloads):
    for server in figures.servers():
        yield server, [" / ".join(number(figures.median(server, w, key)) for key in ("p50_ms", "p99_ms"))
                       if figures.median(server, w, "p99_ms") is not None else "" for w in workloads]


def split_rows(figures, workloads):
    for server in figures.servers():
        yield server, [" + ".join(number(figures.median(server, w, key)) for key in ("user_usec", "system_usec"))
                       if figures.median(server, w, "user_usec") is not None else "" for w in workloads]


def ratio_rows(figures, workloads):
    for server in figures.servers():
        if server != "cgunicorn":
            yield server, [" · ".join(f"{value:.2f}" for value in (
                figures.ratio("cgunicorn", server, w, "rps"), figures.ratio(server, "cgunicorn", w)) if value)
                for w in workloads]


def percent(value):
    return "" if value is None else f"{value:.0%}"


IDLE = (("idle", "kept_1000"), ("idle", "kept_10000"), ("slow", "kept"))


def extra_rows(figures):
    for server in figures.servers():
        get = lambda name, key, s=server: figures.extra(s, name, key)  # noqa: E731
        cells = [number(get("start", "hello_ms")), number(get("start", "flask_ms"))]
        cells += [number(get(f"memory{n}", "pss_mib")) for n in (1, 2, 8)]
        cells += [percent(get(name, key)) for name, key in IDLE]
        cells += [number(get("idle", "kib_each_10000")), number(get("two", "cpu_ratio")), percent(get("two", "share"))]
        cells += [number(get("tail", key)) for key in ("calm_p99_ms", "p99_ms")]
        cells += [number(figures.median(server, "events", key)) for key in ("first_ms", "p99_ms")]
        if any(cells):
            yield server, cells


EXTRA_HEADER = ["start, ms", "with Flask", "PSS, MiB: 1 worker", "2", "8", "kept beside 1,000 idle", "10,000 idle",
                "200 slow", "KiB an idle one", "2 workers: CPU", "largest share", "4 workers: p99, ms", "… beside slow requests", "events: first, ms", "p99"]


def text_of_bar(figure, bar):
    if figure is None:
        return f"| {bar.workload} | {bar.text} | {bar.sign} {bar.bound:g} | not measured | |"
    text = f"{figure:,.0f}" if abs(bar.bound) >= 100 else f"{figure:.3g}"
    return f"| {bar.workload} | {bar.text} | {bar.sign} {bar.bound:g} | {text} | {'met' if bar.is_met(figure) else '**not met**'} |"


def bar_lines(figures):
    results = [(bar.figure(figures), bar) for bar in BARS]
    yield "| workload | figure | bar | measured | |\n|---|---|---:|---:|---|"
    yield from (text_of_bar(figure, bar) for figure, bar in results)
    n_met = sum(figure is not None and bar.is_met(figure) for figure, bar in results)
    yield f"\n{n_met} of {len(results)} are met, {sum(figure is None for figure, _ in results)} not measured."


def describe(data):
    yield f"{data['machine']}; {data['rounds']} rounds of {data['seconds']} s, medians; {data['connections']} connections; "\
          f"{data['time'][:16]}, {data.get('minutes', 0):.0f} minutes."
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in data["versions"].items() if version) + "."


def markdown(data):
    figures = Figures(data)
    workloads = measured(figures)
    yield from describe(data)
    yield from titled("Requests a second · CPU µs of all processes of the server a request", workloads,
                      [*speed_rows(figures, workloads), bare_row(figures, workloads)])
    yield from titled("CPU µs a request: user + system", workloads, split_rows(figures, workloads))
    one_by_one = [w for w in workloads if BY_NAME[w].pipeline == 1]  # wrk measures no latency of pipelined requests
    yield from titled("Latency, ms: median / 99th percentile", one_by_one, latency_rows(figures, one_by_one))
    if "cgunicorn" in figures.servers():
        yield from titled("cgunicorn against each: times the requests a second · times less CPU a request", workloads,
                          ratio_rows(figures, workloads))
    yield from titled("From exec to the first answer; memory with Flask; what is kept of hello beside other connections; two "
                      "workers against one; server-sent events", EXTRA_HEADER, extra_rows(figures))
    if data["instructions"]:
        yield "\nUser instructions a request: " + ", ".join(f"{k} {v:,}" for k, v in data["instructions"].items()) + "."
    yield "\nWorkloads: " + "; ".join(f"{name}: {BY_NAME[name].title}" for name in workloads) + "."
    remarks = [f"{server}, {name}: {text}" for server, of in data["failures"].items() for name, text in of.items()]
    remarks += list(data["notes"].values()) + [f"{server}: {why}" for server, why in data["missing"].items()]
    if remarks:
        yield "\nOut of a workload, and remarks:\n"
        yield from (f"- {remark}" for remark in remarks)
    yield "\nThe bars of cgunicorn:\n"
    yield from bar_lines(figures)
