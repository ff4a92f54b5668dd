# SPDX-License-Identifier: MIT
"""Plays the tables of this directory against a server, and judges what comes back. README.md has the format and the
rules; conversations run side by side in one event loop, none of them longer than its deadline."""
import asyncio
import json
import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote_to_bytes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
# pylint: disable=wrong-import-position
from client import Reader, Truncated

CANARY = b"GET /canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n"
IMF_FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
ESCAPE = re.compile(r"\\(?:([rnt\\])|x([0-9a-f]{2})|\{(\d+):(.*?)\}|([we]))")
OCTETS = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
OF_THE_PARSER = {"target", "chunked", "head", "server-options", "dropped", "rest", "continue"}


class Mismatch(Exception):
    """What came back is not what the table says."""


def demand(condition, text):
    if not condition:
        raise Mismatch(text)


# --- tables ---


@dataclass
class Outcome:
    """A status, and facts: (whether it must be said, text)."""

    status: str
    facts: list = field(default_factory=list)
    is_expected: bool = False

    def says(self, fact):
        return (True, fact) in self.facts


@dataclass
class Case:
    topic: str
    title: str = ""
    limits: dict = field(default_factory=dict)
    is_ambiguous: bool = False
    pieces: list = field(default_factory=lambda: [b""])
    half_closes: bool = False
    expected: Outcome = None
    permitted: list = field(default_factory=list)
    responses: list = field(default_factory=list)

    @property
    def octets(self):
        return b"".join(self.pieces)

    @property
    def is_refused(self):
        return self.expected.status.isdigit() and int(self.expected.status) >= 400

    @property
    def closes(self):
        """Whether the connection must end before all that is sent has been answered."""
        closing = {"close", "closes", "cut", "says Connection: close"}
        return any(text in closing for outcome in [self.expected] + self.responses for _, text in outcome.facts)

    @property
    def has_rest(self):
        return any(text.startswith("rest ") and text != "rest 0" for _, text in self.expected.facts)

    @property
    def is_followed(self):
        """Whether another request behind this one is a request of its own."""
        is_whole = bool(self.responses) or not self.has_rest
        return is_whole and not self.half_closes and self.expected.status != "more"


def unescape(case, text):
    """Adds the octets of a line of input."""
    position = 0
    for match in ESCAPE.finditer(text):
        case.pieces[-1] += text[position : match.start()].encode("latin-1")
        position = match.end()
        name, octet, times, repeated, pause = match.groups()
        if name:
            case.pieces[-1] += OCTETS[name]
        elif octet:
            case.pieces[-1] += bytes.fromhex(octet)
        elif times:
            inner = Case("")
            unescape(inner, repeated)
            case.pieces[-1] += inner.octets * int(times)
        elif pause == "w":
            case.pieces.append(b"")
        else:
            case.half_closes = True
    case.pieces[-1] += text[position:].encode("latin-1")


def set_up(case, words):
    for word in words.split():
        name, equals, value = word.partition("=")
        if equals:
            case.limits[name] = int(value)
        else:
            assert word == "ambiguous", word
            case.is_ambiguous = True


def add_outcome(outcomes, text):
    """A line that begins an outcome, or belongs to the last one."""
    if text.isdigit() or text in ("more", "refused"):
        outcomes.append(Outcome(text))
    else:
        outcomes[-1].facts.append((True, text))


def add_line(case, line):
    mark, text = line[:1], line[2:]
    if mark == "#":
        case.title = text
    elif mark == "@":
        set_up(case, text)
    elif mark == "=" and case.expected is None:
        case.expected = Outcome(text, is_expected=True)
    elif mark in ("=", "!"):
        case.expected.facts.append((mark == "=", text))
    elif mark == "~":
        add_outcome(case.permitted, text)
    elif mark == "<":
        add_outcome(case.responses, text)
    else:
        unescape(case, line)


def read_table(path):
    cases, case = [], Case(path.stem)
    for line in path.read_text(encoding="latin-1").split("\n") + [""]:
        if line or case.expected is None:
            add_line(case, line)
        else:
            cases.append(case)
            case = Case(path.stem)
    assert len({case.title for case in cases}) == len(cases), f"{path}: a title comes twice"
    return cases


def read_tables():
    return [case for path in sorted(HERE.glob("*.http")) for case in read_table(path)]


# --- conversations ---


class Link(asyncio.Protocol):
    """One connection, and all that arrives."""

    def __init__(self):
        self.received = bytearray()
        self.arrival = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data):
        self.received += data
        self.arrival.set()

    def connection_lost(self, exc):
        self.arrival.set()
        if not self.ended.done():
            self.ended.set_result("reset" if exc else "closed")


@dataclass
class Record:
    """What came back, how it ended (closed, reset, silence), and whether it took the end of the client's patience."""

    octets: bytes
    end: str
    is_late: bool = False


def whole(piece):
    return [piece]


def octet_by_octet(piece):
    """Large ones in 256 steps."""
    step = 1 + len(piece) // 256
    return [piece[start : start + step] for start in range(0, len(piece), step)]


def cut_at(offset):
    return lambda piece: [piece[:offset], piece[offset:]]


async def send(transport, link, pieces, split):
    """Each piece when something has arrived since the one before, split into segments of their own."""
    for number, piece in enumerate(pieces):
        if number > 0:
            await link.arrival.wait()
        link.arrival.clear()
        for segment in split(piece):
            if link.ended.done():
                return
            transport.write(segment)
            await asyncio.sleep(0)


def send_end(transport):
    """Half-closes, unless the server was first."""
    try:
        if not transport.is_closing():
            transport.write_eof()
    except OSError:  # reset, which the protocol will be told
        pass


async def converse(port, pieces, half_closes, split, patience, deadline):
    """Sends the pieces, and reads up to the end. A server that keeps the client waiting for longer than the patience is
    told that nothing more will come; it has then the deadline to end."""
    try:
        transport, link = await asyncio.get_running_loop().create_connection(Link, "127.0.0.1", port)
    except OSError as error:
        return Record(str(error).encode(), "no connection")
    is_late = False
    try:
        try:
            await asyncio.wait_for(send(transport, link, pieces, split), patience)
            if half_closes:
                send_end(transport)
            await asyncio.wait_for(asyncio.shield(link.ended), patience)
        except asyncio.TimeoutError:
            is_late = True
            send_end(transport)
            await asyncio.wait_for(asyncio.shield(link.ended), deadline)
        return Record(bytes(link.received), link.ended.result(), is_late)
    except asyncio.TimeoutError:
        return Record(bytes(link.received), "silence", is_late)
    finally:
        transport.abort()


async def play(port, case, *, is_followed=None, split=whole, patience, deadline):
    """One case. is_followed: whether another request is sent behind it (where that is one)."""
    is_followed = case.is_followed if is_followed is None else is_followed
    pieces = [*case.pieces[:-1], case.pieces[-1] + (CANARY if is_followed else b"")]
    half_closes = not case.is_followed
    return await converse(port, pieces, half_closes, split, patience, deadline)


# --- judgement ---


def read_responses(case, octets, strict):
    """(interim, final) responses; one that does not arrive as a whole has `is_cut`."""
    reader = Reader(octets, may_close_unsaid=not strict)
    interim, final = [], []
    method = "HEAD" if case.octets.lstrip(b"\r\n").startswith(b"HEAD ") else "GET"
    while reader.buffer:
        try:
            response = reader.read_response("GET" if final else method)
            response.is_cut = False
        except Truncated as error:
            if error.response is None:
                raise
            response, reader.buffer = error.response, b""
            response.body, response.is_cut = error.body, True
        (interim if response.status < 200 else final).append(response)
    return interim, final


def application_saw(response):
    """What the application was given; None where it is not the one who answers."""
    try:
        answer = json.loads(response.body)
        return answer if {"environ", "body"} <= set(answer) else None
    except (ValueError, TypeError):
        return None


def text_of(octets):
    """As the tables write it."""
    escaped = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\x5c"}
    return "".join(
        escaped.get(c, c if " " <= c < "\x7f" else f"\\x{ord(c):02x}") for c in octets
    )


def value_of(text):
    """The opposite: the characters that a fact means."""
    case = Case("")
    unescape(case, text)
    return case.octets.decode("latin-1")


def variable(name):
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def fields_as_expected(facts, environ):
    """Equal names are joined; yields the facts that are not so."""
    expected = {}
    for is_said, text in facts:
        name, _, value = text.removeprefix("field ").partition(":")
        if not text.startswith("field ") or name.lower() == "host":
            continue
        if is_said:
            expected.setdefault(variable(name), []).append(value_of(value.removeprefix(" ")))
        elif value.strip() in environ.get(variable(name), "").split(", "):
            yield f"! {text}"
    for key, values in expected.items():
        joined = ("; " if key == "HTTP_COOKIE" else ", ").join(values)
        if environ.get(key) != joined:
            yield f"{key} is {environ.get(key)!r}, not {joined!r}"


def seen_as_expected(name, value, answer):
    """A fact of the request, as the application saw it; None: it can not be seen there."""
    environ = answer["environ"]
    if name == "method":
        return environ.get("REQUEST_METHOD") == value
    if name == "path":
        path = unquote_to_bytes(value_of(value).encode("latin-1")).decode("latin-1")
        return environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "") == path
    if name == "query":
        return environ.get("QUERY_STRING", "") == value_of(value)
    if name == "host":
        return environ.get("HTTP_HOST", "") == value
    if name == "version":
        return environ.get("SERVER_PROTOCOL") == f"HTTP/{value}"
    if name == "length":
        length = environ.get("CONTENT_LENGTH", "")
        return length.isdigit() and int(length) == int(value)
    if name == "body":
        return text_of(answer["body"]) == value
    return None


def wire_as_expected(name, value, response):
    """A fact of a response."""
    if name == "has":
        return len(response.values(value)) == 1
    if name == "no":
        return not response.values(value)
    if name == "says":
        field_name, _, field_value = value.partition(": ")
        return field_value.lower() in [v.lower() for v in response.values(field_name)]
    if name == "text":
        return response.body.decode("latin-1") == value_of(value)
    return {
        "empty": response.body == b"",
        "closes": response.closes,
        "close": response.closes,
        "keep-alive": not response.closes,
        "cut": response.is_cut,
        "ends": True,
    }.get(name)


def check_facts(facts, response):
    """Raises Mismatch unless all facts hold for that response and the request that it answers."""
    answer = application_saw(response)
    demand("cut" in [text for _, text in facts] or not response.is_cut, f"the response is cut short: {response}")
    for is_said, text in facts:
        name, _, value = text.partition(" ")
        if name in OF_THE_PARSER or name == "field":
            continue
        holds = wire_as_expected(name, value, response)
        if holds is None and answer:
            holds = seen_as_expected(name, value, answer)
        demand(holds is not None, f"{text}: not to be seen in {response}")
        demand(holds == is_said, f"not so: {'' if is_said else '! '}{text} in {response}")
    if answer:
        for wrong in fields_as_expected(facts, answer["environ"]):
            raise Mismatch(wrong)


def check_own_refusal(response):
    """The form of cgunicorn's own responses."""
    demand(400 <= response.status < 600 and not application_saw(response), f"no refusal: {response}")
    demand(response.values("Connection") == ["close"], f"does not say that it closes: {response}")
    demand(len(response.values("Date")) == 1 and IMF_FIXDATE.fullmatch(response.header("Date")), f"Date: {response}")
    demand(response.values("Content-Type")[0].startswith("text/plain"), f"Content-Type: {response}")
    demand(not response.is_cut and len(response.values("Content-Length")) == 1, f"framing: {response}")


def is_of_canary(response):
    answer = application_saw(response)
    return response.status == 200 and answer is not None and answer["environ"].get("PATH_INFO") == "/canary"


def check_refused(case, outcome, final, strict):
    if strict:
        demand(len(final) == 1, f"one response is expected: {final}")
        check_own_refusal(final[0])
        demand(final[0].status == int(outcome.status), f"{outcome.status} is expected: {final}")
    elif final:
        demand(final[0].status >= 400, f"a refusal is expected: {final}")
        demand(not case.is_ambiguous or len(final) == 1, f"goes on behind an ambiguous request: {final}")


def check_incomplete(outcome, interim, final, strict):
    demand(not strict or len(interim) == outcome.says("continue"), f"100 Continue: {interim}")
    demand(len(final) <= 1, f"too much: {final}")
    for response in final:
        demand(response.status >= 400, f"answered before it is complete: {response}")


def check_accepted(case, outcome, response):
    demand(response.status == int(outcome.status), f"{outcome.status} is expected: {response}")
    is_empty = outcome.says("head") or outcome.says("server-options")
    is_other = case.responses or any(text.startswith("says ") for _, text in outcome.facts)
    if is_empty:
        demand(response.body == b"", f"a body: {response}")
    elif not is_other:
        demand(application_saw(response), f"not from the application: {response}")
    check_facts([fact for fact in outcome.facts if not is_empty or fact[1] in ("keep-alive", "close")], response)


def check_following(outcome, last, following, is_followed, strict):
    """What comes behind the last response that the table tells of."""
    if not is_followed:
        demand(not strict or all(r.status >= 400 for r in following), f"what is behind is answered: {following}")
    elif last.closes or outcome.says("ends"):
        demand(not following, f"goes on behind a close: {following}")
    elif following or strict or outcome.says("keep-alive"):
        demand([is_of_canary(r) for r in following] == [True], f"the next request is not answered: {following}")


def check_responses(case, interim, final, is_followed, strict):
    """Each response that the table tells of."""
    statuses = [int(outcome.status) for outcome in case.responses]
    demand([r.status for r in interim] == [s for s in statuses if s < 200], f"interim: {interim}")
    told = [outcome for outcome in case.responses if int(outcome.status) >= 200]
    demand(final, "no response")
    for number, (outcome, response) in enumerate(zip(told, final)):
        is_refusal = int(outcome.status) >= 400 and response.status >= 400 and not strict
        demand(is_refusal or response.status == int(outcome.status), f"{outcome.status} is expected: {response}")
        check_facts([fact for fact in outcome.facts if strict or fact != (True, "keep-alive")], response)
        if (response.closes or response.is_cut) and (number == len(told) - 1 or not strict):
            demand(len(final) == number + 1, f"goes on behind a close: {final[number + 1:]}")
            return
    demand(len(final) >= len(told), f"{len(told)} responses are expected: {final}")
    check_following(told[-1], final[len(told) - 1], final[len(told):], is_followed, strict)


def check_interim(outcome, interim, strict):
    may_continue = outcome.says("continue") or not strict and (False, "continue") not in outcome.facts
    demand([r.status for r in interim] in ([[], [100]] if may_continue else [[]]), f"interim: {interim}")


def check(case, outcome, record, is_followed, strict):
    """Raises Mismatch, or the reader's AssertionError where that is no HTTP, unless this is that outcome."""
    waits = outcome.status == "more" and not strict
    demand(not (strict and record.is_late), f"nothing for too long; received: {record.octets[:300]!r}")
    demand(record.end == "closed" or not strict and record.end == "reset" or waits and record.end == "silence",
           f"the connection ends by {record.end}; received: {record.octets[:300]!r}")
    interim, final = read_responses(case, record.octets, strict)
    if case.responses and outcome.is_expected:
        check_responses(case, interim, final, is_followed, strict)
    elif outcome.status == "more":
        check_incomplete(outcome, interim, final, strict)
    elif outcome.status == "refused" or int(outcome.status) >= 400:
        check_refused(case, outcome, final, strict)
    else:
        demand(final, "no response")
        check_accepted(case, outcome, final[0])
        check_interim(outcome, interim, strict)
        check_following(outcome, final[0], final[1:], is_followed, strict)


def judge(case, record, *, is_followed=None, strict=True):
    """What is wrong, or None. strict: as cgunicorn is held to the table; else other servers."""
    is_followed = case.is_followed if is_followed is None else is_followed
    problem = None
    outcomes = [case.expected] if strict else [lenient(outcome) for outcome in [case.expected] + case.permitted]
    for outcome in outcomes:
        try:
            check(case, outcome, record, is_followed, strict)
            return None
        except (Mismatch, AssertionError) as error:
            problem = problem or str(error)
    return problem


def lenient(outcome):
    """Any server may close at any time if it says so, and need not say so where it must (RFC 9112 9.3, 9.6); OPTIONS *
    may be the application's."""
    left_out = {(True, "keep-alive"), (True, "server-options"), (True, "path *")}
    facts = [(True, "ends") if fact == (True, "close") else fact for fact in outcome.facts if fact not in left_out]
    return replace(outcome, facts=facts)
