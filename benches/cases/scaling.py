"""Scaling: two workers beside one, of either proxy, on a 2 KB document."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median

from bench import Bench
from load import Rate, entity_tag, hammer
from rounds import Ratio, ratio, take_turns
from servers import Server

from cases.hits import index_of

# Two for the proxy, and two for a load generator that outruns two workers.
CORES_NEEDED = 4
CONNECTIONS = 64


def measure(bench: Bench) -> dict:
    cpus = sorted(bench.all_cpus)
    apart = len(cpus) >= CORES_NEEDED
    loading = set(cpus[2:]) if apart else bench.all_cpus
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        proxies: list[Server] = [
            running.enter_context(start(origin, set(cpus[:workers]) if apart else bench.all_cpus, workers))
            for start in (bench.nginx, bench.scriptorium)
            for workers in (1, 2)
        ]
        for proxy in proxies:
            entity_tag(proxy, index_of("index-2k")(proxy))

        def one_round(proxy: Server) -> Rate:
            path, threads = index_of("index-2k")(proxy), len(loading) if apart else 1
            return hammer(proxy, path, CONNECTIONS, bench.seconds, loading, {}, threads)

        results = [[asdict(rate) for rate in rates] for rates in take_turns(proxies, bench.rounds, one_round)]
    rounds = {"nginx": results[:2], "scriptorium": results[2:]}
    return {"apart": apart, "rounds": rounds}


def table(found: dict) -> Iterator[str]:
    if found["apart"]:
        yield "Two workers, each with a core of its own and the load generator on others:"
    else:
        yield (
            f"Two workers, on fewer than {CORES_NEEDED} cores: the load generator shares the workers' cores, so "
            "req/s cannot double. What two cores would give is 2 × (requests per CPU second of two ÷ of one)."
        )
    yield ""
    yield "| scaling, 2 KB document | 1 worker | 2 workers | req/s, 2 ÷ 1 | 2 × per CPU second, 2 ÷ 1 |"
    yield "|---|--:|--:|--:|--:|"
    for name, (one, two) in found["rounds"].items():
        rates = [[each["per_second"] for each in rounds] for rounds in (one, two)]
        costs = [[each["cpu_per_request"] for each in rounds] for rounds in (one, two)]
        work = ratio(costs[0], costs[1])
        doubled = Ratio(2 * work.middle, 2 * work.low, 2 * work.high)
        shown = " | ".join(f"{median(rate):,.0f} req/s" for rate in rates)
        yield f"| {name} | {shown} | {ratio(rates[1], rates[0])} | {doubled} |"
