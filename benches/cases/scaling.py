"""Scaling: two workers beside one, of either proxy, on a 2 KB document."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

from bench import Bench
from load import Rate, entity_tag, hammer
from rounds import Ratio, ratio, take_turns
from servers import Server

from cases.hits import index_of

# Two for the workers, and two for a load generator that outruns them.
CORES_NEEDED = 4
CONNECTIONS = 64


@dataclass(frozen=True)
class Share:
    """So many workers on these cores, and the load on those, a thread on each."""

    workers: int
    served: set[int]
    loading: set[int]


def shares(cpus: list[int]) -> list[Share]:
    """One worker, then two. Without cores to spare the load runs on the workers' own, in both."""
    spare = set(cpus[2:]) if len(cpus) >= CORES_NEEDED else set()
    return [Share(workers, set(cpus[:workers]), spare or set(cpus[:workers])) for workers in (1, 2)]


def measure(bench: Bench) -> dict:
    cpus = sorted(bench.all_cpus)
    if len(cpus) < 2:
        return {}
    path = index_of("index-2k")
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(bench.all_cpus))
        contestants: list[tuple[Server, Share]] = [
            (running.enter_context(start(origin, share.served, share.workers)), share)
            for start in (bench.nginx, bench.scriptorium)
            for share in shares(cpus)
        ]
        for proxy, _ in contestants:
            entity_tag(proxy, path(proxy))

        def one_round(contestant: tuple[Server, Share]) -> Rate:
            proxy, share = contestant
            loading = share.loading
            return hammer(proxy, path(proxy), CONNECTIONS, bench.seconds, loading, {}, len(loading))

        taken = take_turns(contestants, bench.rounds, one_round)
    results = [[asdict(rate) for rate in rates] for rates in taken]
    return {"apart": len(cpus) >= CORES_NEEDED, "rounds": {"nginx": results[:2], "scriptorium": results[2:]}}


def table(found: dict) -> Iterator[str]:
    if not found:
        yield "Scaling needs two cores."
        return
    if found["apart"]:
        yield "Workers have a core each, the load generator the other cores:"
    else:
        yield (
            f"Fewer than {CORES_NEEDED} cores, so the load generator shares the workers': one worker and one "
            "thread of wrk on one core, beside two and two on two cores. *Efficiency* leaves wrk out: 2 × "
            "(requests per CPU second of two workers ÷ of one)."
        )
    yield ""
    yield "| scaling, 2 KB document | 1 worker | 2 workers | req/s, 2 ÷ 1 | efficiency, of 2 |"
    yield "|---|--:|--:|--:|--:|"
    for name, (one, two) in found["rounds"].items():
        rates = [[each["per_second"] for each in rounds] for rounds in (one, two)]
        costs = [[each["cpu_per_request"] for each in rounds] for rounds in (one, two)]
        work = ratio(costs[0], costs[1])
        doubled = Ratio(2 * work.middle, 2 * work.low, 2 * work.high)
        shown = " | ".join(f"{median(rate):,.0f} req/s" for rate in rates)
        yield f"| {name} | {shown} | {ratio(rates[1], rates[0])} | {doubled} |"
