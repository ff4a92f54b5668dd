# SPDX-License-Identifier: MIT
"""A steady load whose every request is accounted for, from two sides: what its client saw, and whether the application
(tests/apps/faulty.py) began it. Half of the clients keep their connections, half close them; one request in four is a
POST. What may be sent again (RFC 9110 §9.2.2) is, on a new connection."""
import enum
import itertools
import time
from collections import Counter

import faulty
from client import ProtocolError, Truncated, request
from crowd import Clients
from harness import poll

ATTEMPTS_MAX = 8


class Outcome(enum.Enum):
    """Of one attempt at a request."""

    ANSWERED = "answered"  # with its own answer, octet by octet
    REFUSED = "refused"  # with another status than 200
    CLOSED = "closed"  # the connection ended before the first octet of an answer
    CUT = "cut"  # the connection ended within the answer
    UNCONNECTED = "unconnected"  # nobody listened
    LOST = "lost"  # neither an answer nor the end of the connection
    WRONG = "wrong"  # an answer that is not its own, or none of HTTP


class Attempt:
    def __init__(self, number, method, peer):
        self.number = number
        self.method = method
        self.peer = peer  # the process that gave the last answer on this connection; None on a fresh one
        self.outcome = None
        self.detail = ""
        self.began_usec = time.monotonic_ns() // 1000
        self.ended_usec = None

    @property
    def failed(self):
        return self.outcome not in (Outcome.ANSWERED, Outcome.REFUSED)

    def __repr__(self):
        return f"<{self.number} {self.method} after {self.peer}: {self.outcome.value} {self.detail}>"


class Load(Clients):
    """connect(): a new client.Connection."""

    def __init__(self, connect, n_clients=8, pause=0.002):
        super().__init__(n_clients)
        self.connect = connect
        self.pause = pause
        self.numbers = itertools.count(1)
        self.requests = []  # each a list of attempts, the last of which decides

    def wait_for_more(self, n=50):
        """Until so many requests more have come to an end."""
        target = len(self.requests) + n
        poll(lambda: len(self.requests) >= target, f"{n} more requests")

    # --- a client ---

    def run(self, number):
        connection = None
        for turn in itertools.count(number):
            attempts = []
            while not attempts or attempts[-1].failed:
                n_tries = sum(attempt.outcome != Outcome.UNCONNECTED for attempt in attempts)
                if n_tries == ATTEMPTS_MAX or (attempts and not self._may_repeat(attempts[-1])):
                    break
                connection = self._attempt(connection, "POST" if turn % 4 == 3 else "GET", number % 2, attempts)
            self.requests.append(attempts)
            if self.stopping.wait(self.pause):
                break
        if connection:
            connection.close()

    def _may_repeat(self, attempt):
        if attempt.outcome == Outcome.UNCONNECTED:
            return not self.stopping.is_set()
        return attempt.method == "GET" and attempt.outcome in (Outcome.CLOSED, Outcome.CUT)

    def _attempt(self, connection, method, keeps, attempts):
        """One attempt, appended to attempts; returns the connection if it goes on."""
        attempt = Attempt(next(self.numbers), method, connection and connection.peer)
        attempts.append(attempt)
        goes_on = False
        try:
            if connection is None:
                connection = self.connect()
            goes_on = self._exchange(connection, attempt, keeps)
        except Truncated as error:
            attempt.outcome = Outcome.CUT if error.response or error.body else Outcome.CLOSED
        except ProtocolError as error:
            attempt.outcome, attempt.detail = Outcome.WRONG, str(error)
        except TimeoutError:
            attempt.outcome = Outcome.LOST
        except (ConnectionRefusedError, FileNotFoundError):
            attempt.outcome = Outcome.UNCONNECTED
            self.stopping.wait(0.01)
        except OSError as error:  # a reset, after which what came before is gone
            attempt.outcome, attempt.detail = Outcome.CLOSED, str(error)
        attempt.ended_usec = time.monotonic_ns() // 1000
        if not goes_on and connection:
            connection.close()
        return connection if goes_on else None

    @staticmethod
    def _exchange(connection, attempt, keeps):
        fields = () if keeps else ("Connection: close",)
        body = faulty.payload(attempt.number) if attempt.method == "POST" else None
        connection.send(request(attempt.method, f"/echo?{attempt.number}", *fields, body=body))
        response = connection.read_response()
        if response.status != 200:
            attempt.outcome, attempt.detail = Outcome.REFUSED, str(response.status)
        else:
            head, _, rest = response.body.partition(b"\n")
            words = head.split()
            is_own = len(words) == 2 and words[0] == b"%d" % attempt.number
            is_own = is_own and rest == faulty.payload(attempt.number)
            attempt.outcome = Outcome.ANSWERED if is_own else Outcome.WRONG
            attempt.detail = "" if is_own else repr(response.body[:200])
            connection.peer = int(words[1]) if is_own else None
        return not response.closes

    # --- the account ---

    def attempts(self):
        return [attempt for attempts in self.requests for attempt in attempts]

    def account(self):
        """How the requests ended, and what had to be sent again."""
        ends = Counter(attempts[-1].outcome.value for attempts in self.requests)
        again = Counter(attempt.outcome.value for attempts in self.requests for attempt in attempts[:-1])
        longest = max((attempts[-1].ended_usec - attempts[0].began_usec for attempts in self.requests), default=0)
        return {
            "requests": len(self.requests),
            **ends,
            **{f"sent again, {name}": n for name, n in again.items()},
            "longest_msec": round(longest / 1000, 1),
        }

    def check(self, directory, *, hit=(), refusals=(), socket_closes=False):
        """What the clients saw against what the application began, below directory.

        hit: processes that were struck, in which requests may fail. A request that one of them had begun may be cut; one
        that waited in a connection to it, perhaps given to it by another a moment ago, sees that end, and is sent again if
        it may be, or is refused with one of the statuses in refusals. socket_closes: for a while nobody listens, and who
        waits in the socket at that moment is turned away."""
        begun = faulty.read_begun(directory)
        problems = [f"begun twice: {number} by {pids}" for number, pids in begun.items() if len(pids) > 1]
        n_waiting = 0
        for attempts in self.requests:
            for attempt in attempts:
                workers = begun.get(attempt.number, [])
                if attempt.outcome == Outcome.ANSWERED:
                    is_right = len(workers) == 1
                elif attempt.outcome == Outcome.UNCONNECTED:
                    is_right = socket_closes
                elif attempt.outcome == Outcome.CLOSED and socket_closes and not attempt.peer and not workers:
                    is_right = True
                elif attempt.outcome == Outcome.REFUSED:
                    is_right = attempt.detail in refusals and not workers
                elif attempt.outcome in (Outcome.CLOSED, Outcome.CUT):
                    is_right = bool(set(workers or hit) & set(hit))
                    n_waiting += not workers
                else:
                    is_right = False
                if not is_right:
                    problems.append(f"{attempt} begun by {workers}")
            if attempts[-1].failed and attempts[-1].method == "GET":
                problems.append(f"never answered: {attempts}")
        if n_waiting > len(self.threads) * len(hit):
            problems.append(f"{n_waiting} closed connections of {len(self.threads)} clients to {len(hit)} processes")
        assert not problems, "\n".join([str(self.account()), f"hit: {hit}", *problems[:40]])
        assert sum(n for end, n in self.account().items() if end in {o.value for o in Outcome}) == len(self.requests)
