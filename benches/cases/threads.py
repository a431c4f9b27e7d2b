"""Threads: as many workers as cores, and two workers beside one, of either proxy, on a 2 KB document."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

from bench import Bench
from load import Rate, entity_tag, hammer
from rounds import Ratio, ratio, take_turns
from servers import Server

from cases.hits import index_of, side_by_side

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
    """One worker; two; and one for each core, or for half of the cores where the load has the other half.

    Without cores to spare the load runs on the workers' own. With two cores the last two are the same.
    """
    if len(cpus) < CORES_NEEDED:
        counts = (1, 2, len(cpus))
        found = [Share(workers, set(cpus[:workers]), set(cpus[:workers])) for workers in counts]
    else:
        half = len(cpus) // 2
        found = [Share(workers, set(cpus[:workers]), set(cpus[2:])) for workers in (1, 2)]
        found.append(Share(half, set(cpus[:half]), set(cpus[half:])))
    return found[:2] if found[1] == found[2] else found


def measure(bench: Bench) -> dict:
    cpus = sorted(bench.all_cpus)
    if len(cpus) < 2:
        return {}
    path, divided = index_of("index-2k"), shares(cpus)
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(bench.all_cpus))
        contestants: list[tuple[Server, Share]] = [
            (running.enter_context(start(origin, share.served, share.workers)), share)
            for start in (bench.nginx, bench.scriptorium)
            for share in divided
        ]
        for proxy, _ in contestants:
            entity_tag(proxy, path(proxy))
        asked = origin.requests()

        def one_round(contestant: tuple[Server, Share]) -> Rate:
            proxy, share = contestant
            return hammer(proxy, path(proxy), CONNECTIONS, bench.seconds, share.loading, {})

        taken = take_turns(contestants, bench.rounds, one_round)
        if origin.requests() != asked:
            raise SystemExit("threads: not every request was a hit, the origin was asked again")
    results, count = [[asdict(rate) for rate in rates] for rates in taken], len(divided)
    return {
        "apart": len(cpus) >= CORES_NEEDED,
        "workers": [share.workers for share in divided],
        "rounds": {"nginx": results[:count], "scriptorium": results[count:]},
    }


def table(found: dict) -> Iterator[str]:
    if not found:
        yield "`threads` needs two cores."
        return
    workers = found["workers"][-1]
    if found["apart"]:
        yield (
            "Workers have cores of their own, the load generator the others: all but two, or half of all "
            "where workers are as many as their cores."
        )
    else:
        yield (
            f"Fewer than {CORES_NEEDED} cores, so the load generator shares the workers': nothing is pinned "
            "where workers are as many as cores, and one worker and one thread of wrk are on one core, "
            "beside two and two on two cores."
        )
    yield ""
    most = {name: rounds[-1] for name, rounds in found["rounds"].items()}
    row = {"title": f"2 KB document, {workers} workers", "by_bytes": False, "rounds": most}
    yield from side_by_side("as many workers as cores", [row], "nginx", "nginx")
    yield ""
    yield "*Efficiency* leaves wrk out: 2 × (requests per CPU second of two workers ÷ of one)."
    yield ""
    yield "| two workers beside one, 2 KB document | 1 worker | 2 workers | req/s, 2 ÷ 1 | efficiency, of 2 |"
    yield "|---|--:|--:|--:|--:|"
    for name, (one, two, *_) in found["rounds"].items():
        yield f"| {name} | {' | '.join(scaling(one, two))} |"


def scaling(one: list[dict], two: list[dict]) -> Iterator[str]:
    """The rates, what the second worker brings, and what it would bring if only the proxy counted."""
    rates = [[each["per_second"] for each in rounds] for rounds in (one, two)]
    costs = [[each["cpu_per_request"] for each in rounds] for rounds in (one, two)]
    work = ratio(costs[0], costs[1])
    yield from (f"{median(rate):,.0f} req/s" for rate in rates)
    yield str(ratio(rates[1], rates[0]))
    yield str(Ratio(2 * work.middle, 2 * work.low, 2 * work.high))
