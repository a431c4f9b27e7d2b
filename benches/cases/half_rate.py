"""Half rate: the slowest hundredth of hits of a 2 KB document while a proxy has half of what it could do."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median

from bench import Bench
from load import Rate, entity_tag, hammer
from rounds import ratio, take_turns
from servers import Server

from cases.hits import index_of

CONNECTIONS = 64
# How long a connection rests between two requests, on average.
REST_MS = 20


def measure(bench: Bench) -> dict:
    """First the highest rates; then half of the lower one for both, and half of its own for each."""
    served, loading = bench.split_cpus()
    path = index_of("index-2k")
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        proxies: list[Server] = [
            running.enter_context(start(origin, served)) for start in (bench.nginx, bench.scriptorium)
        ]
        for proxy in proxies:
            entity_tag(proxy, path(proxy))

        def rounds(connections: dict[str, int], rest: int) -> dict[str, list[Rate]]:
            results = take_turns(
                proxies,
                bench.rounds,
                lambda proxy: hammer(
                    proxy, path(proxy), connections[proxy.name], bench.seconds, loading, {}, rest
                ),
            )
            return {proxy.name: rates for proxy, rates in zip(proxies, results)}

        full = rounds({proxy.name: CONNECTIONS for proxy in proxies}, 0)
        halves = {name: median(rate.per_second for rate in rates) / 2 for name, rates in full.items()}
        same = rounds(dict.fromkeys(halves, resting(min(halves.values()))), REST_MS)
        own = rounds({name: resting(half) for name, half in halves.items()}, REST_MS)
    found = {"at full rate": full, "the same rate, half of the lower": same, "each at half of its own": own}
    return {
        title: {name: [*map(asdict, rates)] for name, rates in taken.items()}
        for title, taken in found.items()
    }


def resting(per_second: float) -> int:
    """How many connections make that rate, each with a rest between two requests."""
    return max(1, round(per_second * REST_MS / 1000))


def table(found: dict) -> Iterator[str]:
    yield "| p99, 2 KB document | nginx | Scriptorium | p99 nginx | Scriptorium | ratio |"
    yield "|---|--:|--:|--:|--:|--:|"
    for title, rounds in found.items():
        names = ("nginx", "scriptorium")
        rates = (median(each["per_second"] for each in rounds[name]) for name in names)
        slowest = {name: [each["p99_ms"] for each in rounds[name]] for name in names}
        cells = [f"{rate:,.0f} req/s" for rate in rates]
        cells += [f"{median(slowest[name]):.2f} ms" for name in names]
        yield f"| {title} | {' | '.join(cells)} | {ratio(slowest['scriptorium'], slowest['nginx'])} |"
