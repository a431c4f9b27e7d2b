"""Spread: how evenly connections come to the workers, by the CPU time that each of them then takes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import Bench
from h2load import ask_evenly
from load import entity_tag
from rounds import spread, take_turns
from servers import Server

from cases.hits import index_of

CONNECTIONS = (8, 64, 1000)


def measure(bench: Bench) -> dict:
    """New connections each round, since it is chance that spreads them."""
    workers = max(2, len(bench.all_cpus))
    requests = 20_000 * workers if bench.arguments.quick else 100_000 * workers
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(bench.all_cpus))
        proxies: list[Server] = [
            running.enter_context(start(origin, bench.all_cpus, workers))
            for start in (bench.nginx, bench.scriptorium)
        ]
        for proxy in proxies:
            entity_tag(proxy, index_of("index-2k")(proxy))
        shares: dict[str, dict[int, list[float]]] = {proxy.name: {} for proxy in proxies}
        for connections in CONNECTIONS:

            def one_round(proxy: Server, connections: int = connections) -> float:
                before = run_times(proxy)
                ask_evenly(proxy, index_of("index-2k")(proxy), connections, requests, bench.all_cpus)
                return busiest(before, run_times(proxy), workers)

            for proxy, found in zip(proxies, take_turns(proxies, bench.rounds, one_round)):
                shares[proxy.name][connections] = found
    return {"workers": workers, "shares": shares}


def run_times(proxy: Server) -> dict[str, int]:
    """The nanoseconds that each thread of each process ran."""
    tasks = (task for pid in proxy.processes() for task in Path(f"/proc/{pid}/task").iterdir())
    return {task.name: int((task / "schedstat").read_text().split()[0]) for task in tasks}


def busiest(before: dict[str, int], after: dict[str, int], workers: int) -> float:
    """The share of the busiest worker in what all had; the workers are the threads that ran the longest."""
    ran = sorted((time - before.get(task, 0) for task, time in after.items()), reverse=True)[:workers]
    return ran[0] / sum(ran)


def table(found: dict) -> Iterator[str]:
    titles = " | ".join(f"{connections:,}" for connections in CONNECTIONS)
    even = 100 / found["workers"]
    what = f"busiest of {found['workers']} workers, {even:.0f} % is even; connections"
    yield f"| {what} | {titles} |"
    yield "|---|--:|--:|--:|"
    for name, shares in found["shares"].items():
        cells = (spread([100 * share for share in shares[each]], "{:.0f}") for each in CONNECTIONS)
        yield f"| {name} | {' | '.join(f'{cell} %' for cell in cells)} |"
