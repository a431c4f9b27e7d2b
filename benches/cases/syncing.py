"""Syncing: the slowest hundredth of hits of a 2 KB document while a mirror is synced, while none is, and beside programs
that only count, one a core, of the lowest priority that the kernel has. Whatever a sync does, it costs clients what these do."""

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from statistics import median
from subprocess import Popen
from threading import Event, Thread, get_native_id

from bench import Bench
from bibliotheca import write_volumes
from load import Rate, entity_tag, hammer
from rounds import ratio, take_turns
from servers import Scriptorium, Server

from cases.half_rate import CONNECTIONS, REST_MS, resting
from cases.hits import index_of

# Volumes of each mirror; there is one for each round, so that a sync finds nothing that an earlier one brought.
VOLUMES = 100


def measure(bench: Bench) -> dict:
    """First the highest rate; then a quarter of it, in turns alone, beside a sync and beside programs that count."""
    served, loading = bench.split_cpus()
    path, rounds = index_of("index-2k"), bench.rounds
    mirrors = [f"m{number}" for number in range(rounds)]
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        give_way(origin)
        names = {
            mirror: write_volumes(bench.root, origin.url(""), mirror, VOLUMES) for mirror in mirrors
        }
        proxy = running.enter_context(bench.scriptorium(origin, served, mirrors=names))
        entity_tag(proxy, path(proxy))

        def load(connections: int, rest: int) -> Rate:
            return hammer(proxy, path(proxy), connections, bench.seconds, loading, {}, rest)

        full = [load(CONNECTIONS, 0) for _ in range(rounds)]
        connections = resting(median(rate.per_second for rate in full) / 4)
        left, synced = iter(mirrors), []

        def beside_sync() -> Rate:
            with syncing(proxy, next(left)) as brought:
                rate = load(connections, REST_MS)
            synced.append(brought[0])
            return rate

        def beside_counting() -> Rate:
            with counting(os.cpu_count() or 1):
                return load(connections, REST_MS)

        takes = {"alone": lambda: load(connections, REST_MS), "sync": beside_sync, "counting": beside_counting}
        found = take_turns([*takes], rounds, lambda name: takes[name]())
    rates = {name: [*map(asdict, each)] for name, each in zip(takes, found, strict=True)}
    return rates | {"releases_per_second": synced}


@contextmanager
def counting(programs: int) -> Iterator[None]:
    """Programs that take every moment of a core that nobody else wants, and touch nothing."""
    with ExitStack() as running:
        for _ in range(programs):
            program = running.enter_context(Popen(["sh", "-c", "while :; do :; done"]))
            running.callback(program.kill)
            os.sched_setscheduler(program.pid, os.SCHED_IDLE, os.sched_param(0))
        yield


def give_way(origin: Server) -> None:
    """A registry is another machine: what it does for a sync must not delay the load."""
    for pid in origin.processes():
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def syncing(proxy: Scriptorium, mirror: str) -> Iterator[list[float]]:
    """Syncs the mirror, again and again until the end; yields the place of the rate of the first sync."""
    over, brought, began = Event(), [0.0], time.monotonic()
    start(proxy, mirror)

    def keep_syncing() -> None:
        # On Linux a number of a thread names it alone: asking how far a sync is must not delay the load either.
        os.sched_setscheduler(get_native_id(), os.SCHED_IDLE, os.sched_param(0))
        while not over.is_set():
            state = next(each for each in ask(proxy, "GET", "")["mirrors"] if each["mirror"] == mirror)
            if not state["running"]:
                if state["missing"]:
                    raise SystemExit(f"the mirror {mirror} is not complete: {state['missing'][:3]}")
                brought[0] = brought[0] or VOLUMES / (time.monotonic() - began)
                start(proxy, mirror)
            over.wait(0.5)
        state = next(each for each in ask(proxy, "GET", "")["mirrors"] if each["mirror"] == mirror)
        brought[0] = brought[0] or state["run"]["done"] / (time.monotonic() - began)

    keeper = Thread(target=keep_syncing)
    keeper.start()
    try:
        yield brought
    finally:
        over.set()
        keeper.join()
        while any(each["running"] for each in ask(proxy, "GET", "")["mirrors"]):
            time.sleep(0.1)


def start(proxy: Scriptorium, mirror: str) -> None:
    ask(proxy, "POST", f"/{mirror}/sync")


def ask(proxy: Scriptorium, method: str, below: str) -> dict:
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.admin}/admin/v1/mirrors{below}", method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def table(found: dict) -> Iterator[str]:
    yield "| p99, 2 KB document, at a quarter of the highest rate | req/s | p99 | ratio |"
    yield "|---|--:|--:|--:|"
    alone = [each["p99_ms"] for each in found["alone"]]
    beside = {
        "alone": "alone",
        "sync": f"beside a sync of {median(found['releases_per_second']):,.0f} releases/s",
        "counting": "beside programs that count, one a core",
    }
    for name, words in beside.items():
        slowest = [each["p99_ms"] for each in found[name]]
        rate = median(each["per_second"] for each in found[name])
        compared = "" if name == "alone" else ratio(slowest, alone)
        yield f"| {words} | {rate:,.0f} | {median(slowest):.2f} ms | {compared} |"
