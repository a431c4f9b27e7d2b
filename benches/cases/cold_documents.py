"""Cold documents: thousands of small ones, each asked for once, with an empty cache each time."""

import time
from collections.abc import Callable, Iterator
from statistics import median

from bench import Bench
from bibliotheca import write_documents
from load import ask_each_once
from rounds import ratio, spread, take_turns
from servers import Origin, Server

CONNECTIONS = 64
SIZE = 2_000
# Numbers from 1, as the load asks for them.
NAME = "cold-%05d"
QUIET_SECONDS, RESTS_WITHIN = 0.5, 60


def measure(bench: Bench) -> dict:
    """The caches are on the disk of the run's folder, and whoever flushes what it stores flushes it there."""
    documents = count(bench)
    served, loading = bench.split_cpus()
    with bench.origin(loading) as origin:
        publish(bench, origin, documents)

        def one_round(start: Callable[[Origin, set[int]], Server]) -> dict:
            before = origin.requests()
            with start(origin, served) as proxy:
                found = ask(proxy, documents, loading)
            if (heard := origin.requests() - before) != documents:
                raise SystemExit(f"{proxy.name}: {heard} requests to the origin for {documents} documents")
            return found

        starts = [bench.nginx, bench.scriptorium]
        results = take_turns(starts, bench.rounds, one_round)
    return {
        "count": documents,
        "rounds": {start.__name__: rounds for start, rounds in zip(starts, results)},
    }


def count(bench: Bench) -> int:
    return 2_000 if bench.arguments.quick else 10_000


def publish(bench: Bench, origin: Origin, documents: int) -> None:
    names = {NAME % number: SIZE for number in range(1, documents + 1)}
    write_documents(bench.root, origin.url(""), {}, names)


def ask_all(proxy: Server, documents: int, cpus: set[int]) -> float:
    """Seconds from the first request to the last answer."""
    return ask_each_once(proxy, f"/api/v1/index/volumes/{NAME}", documents, CONNECTIONS, cpus)


def ask(proxy: Server, documents: int, cpus: set[int]) -> dict:
    """CPU time counts until the proxy rests: it may store behind its answers."""
    before = proxy.cpu_seconds()
    seconds, answered = ask_all(proxy, documents, cpus), time.monotonic()
    cpu, rested = wait_for_rest(proxy)
    return {
        "per_second": documents / seconds,
        "cpu_per_document": (cpu - before) / documents,
        "busy_after_seconds": rested - answered,
    }


def wait_for_rest(proxy: Server) -> tuple[float, float]:
    """The CPU time when the proxy stops using any, and since when it does."""
    cpu, since = proxy.cpu_seconds(), time.monotonic()
    deadline = since + RESTS_WITHIN
    while time.monotonic() < since + QUIET_SECONDS:
        if time.monotonic() > deadline:
            raise SystemExit(f"{proxy.name}: still busy {RESTS_WITHIN} s after the last answer")
        time.sleep(0.02)
        # A tick or two are timers, which never rest.
        if (now := proxy.cpu_seconds()) > cpu + 0.02:
            cpu, since = now, time.monotonic()
    return cpu, since


def table(found: dict) -> Iterator[str]:
    yield (
        f"| cold documents, {found['count']:,} of 2 KB | nginx | Scriptorium | ratio | CPU a document, nginx "
        "| Scriptorium | ratio | busy after the last answer |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    theirs, ours = (found["rounds"][name] for name in ("nginx", "scriptorium"))
    rates = [[each["per_second"] for each in rounds] for rounds in (ours, theirs)]
    costs = [[each["cpu_per_document"] for each in rounds] for rounds in (ours, theirs)]
    after = spread([each["busy_after_seconds"] for each in ours])
    cells = [f"{median(rates[1]):,.0f}/s", f"{median(rates[0]):,.0f}/s", ratio(*rates)]
    cells += [f"{median(each) * 1e6:,.0f} µs" for each in reversed(costs)]
    cells += [ratio(*costs), f"{after} s"]
    yield f"| {CONNECTIONS} connections | {' | '.join(map(str, cells))} |"
