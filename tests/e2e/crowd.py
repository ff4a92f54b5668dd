# SPDX-License-Identifier: MIT
"""Clients that ask all the time while a test does something else."""
import threading

from harness import DEADLINE


class Clients:
    """Threads, each in run(its number) from the beginning of the `with` block; they return when stopping is set."""

    def __init__(self, n_clients):
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n_clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.stopping.set()
        for thread in self.threads:
            thread.join(2 * DEADLINE)
        assert not any(thread.is_alive() for thread in self.threads), "a client hangs"

    def run(self, number):
        raise NotImplementedError
