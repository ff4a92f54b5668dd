# SPDX-License-Identifier: MIT
"""An SVG of requests a second of CPU time, a panel for each workload."""
from html import escape

PANELS = ("hello", "close", "json", "big", "echo", "upload", "gen", "file", "flask", "django")
COLUMNS = 5
WIDTH, BAR, GAP, LABEL, TITLE, MARGIN = 230, 13, 4, 82, 26, 12
OWN, SELF, PEER = "#9aa5b1", "#1f6feb", "#d0a157"


def short(server):
    return server.replace("gunicorn-new-", "gunicorn ").replace("uwsgi-", "uWSGI ")


def amount(value):
    return f"{value / 1000:,.0f}k" if value >= 10000 else f"{value:,.0f}"


def panel(figures, workload, servers, x, y):
    values = {}
    for server in servers:
        usec = figures.median(server, workload, "cpu_usec")
        values[server] = 1e6 / usec if usec else None
    largest = max((value for value in values.values() if value), default=1)
    yield f'<text x="{x}" y="{y + 14}" class="title">{escape(workload)}</text>'
    room = WIDTH - LABEL - 44
    for i, (server, value) in enumerate(values.items()):
        top = y + TITLE + i * (BAR + GAP)
        color = SELF if server == "cgunicorn" else OWN if server in ("limit", "limit-batch", "floor") else PEER
        yield f'<text x="{x + LABEL - 5}" y="{top + BAR - 3}" class="name">{escape(short(server))}</text>'
        if value:
            length = max(1, room * value / largest)
            yield f'<rect x="{x + LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{color}"/>'
            yield f'<text x="{x + LABEL + length + 4:.1f}" y="{top + BAR - 3}">{amount(value)}</text>'
        else:
            yield f'<text x="{x + LABEL + 4}" y="{top + BAR - 3}">–</text>'


def plot(data):
    from report import Figures  # pylint: disable=import-outside-toplevel

    figures = Figures(data)
    servers = [server for server in figures.servers() if server != "limit-batch"]
    height = TITLE + len(servers) * (BAR + GAP) + MARGIN
    rows = -(-len(PANELS) // COLUMNS)
    size = f'width="{COLUMNS * WIDTH + 2 * MARGIN}" height="{rows * height + 2 * MARGIN + 18}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="10" fill="#333">',
             "<style>.title{font-size:13px;font-weight:bold}.name{text-anchor:end}</style>",
             '<rect width="100%" height="100%" fill="#fff"/>',
             f'<text x="{MARGIN}" y="{MARGIN + 8}">Requests for each second of CPU time of the server, one worker. More is '
             "better. limit and floor are no servers, but what the machine can do without and with an application.</text>"]
    for i, workload in enumerate(PANELS):
        x, y = MARGIN + i % COLUMNS * WIDTH, MARGIN + 18 + i // COLUMNS * height
        lines += panel(figures, workload, servers, x, y)
    return "\n".join(lines + ["</svg>"]) + "\n"
