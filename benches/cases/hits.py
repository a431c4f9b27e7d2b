"""Hits: one cached thing, asked for again and again, of Scriptorium, nginx and Varnish by turns."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

from bench import Bench
from bibliotheca import VERSION
from load import Rate, entity_tag, hammer, is_current, wait_for_coding
from rounds import ratio, take_turns
from servers import Scriptorium, Server


@dataclass(frozen=True)
class Hit:
    """A row of the first table."""

    name: str
    title: str
    connections: int
    path: Callable[[Server], str]
    conditional: bool = False
    by_bytes: bool = False
    coding: str = ""

    def coding_for(self, server: Server) -> str:
        """zstd is for Scriptorium alone: the others send the best that they have."""
        return self.coding if isinstance(server, Scriptorium) or not self.coding else "gzip"


def index_of(name: str) -> Callable[[Server], str]:
    return lambda _: f"/api/v1/index/volumes/{name}"


def archive_of(name: str) -> Callable[[Server], str]:
    return lambda server: server.archive_path(name, VERSION)


HITS = [
    Hit("hit-2k", "2 KB document", 64, index_of("index-2k")),
    Hit("hit-50k", "50 KB document", 64, index_of("index-50k")),
    Hit("hit-50k-gzip", "50 KB document, gzip", 64, index_of("index-50k"), coding="gzip"),
    Hit("hit-50k-zstd", "50 KB document, zstd; others gzip", 64, index_of("index-50k"), coding="zstd"),
    Hit("not-modified", "2 KB document, 304", 64, index_of("index-2k"), conditional=True),
    Hit("hit-1m", "1 MB archive", 64, archive_of("archive-1m"), by_bytes=True),
    Hit("hit-64m", "64 MB archive", 8, archive_of("archive-64m"), by_bytes=True),
]


def measure(bench: Bench, cases: list[Hit]) -> list[dict]:
    """Rounds alternate between the proxies, and so does which of them goes first."""
    served, loading = bench.split_cpus()
    rows = []
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        proxies: list[Server] = []
        for start in (bench.nginx, bench.scriptorium, bench.varnish):
            if proxy := start(origin, served):
                proxies.append(running.enter_context(proxy))
        for case in cases:
            headers = {proxy.name: conditions(proxy, case) for proxy in proxies}
            asked = origin.requests()

            def one_round(proxy: Server) -> Rate:
                path = case.path(proxy)
                return hammer(proxy, path, case.connections, bench.seconds, loading, headers[proxy.name])

            results = take_turns(proxies, bench.rounds, one_round)
            if origin.requests() != asked:
                sys.exit(f"{case.name}: not every request was a hit, the origin was asked again")
            rounds = {proxy.name: [*map(asdict, rates)] for proxy, rates in zip(proxies, results)}
            rows.append({"case": case.name, "title": case.title, "by_bytes": case.by_bytes, "rounds": rounds})
            print(f"measured {case.name}", file=sys.stderr)
    return rows


def conditions(server: Server, case: Hit) -> dict[str, str]:
    """The headers to ask with; asks first, which brings the thing into the cache."""
    path = case.path(server)
    tag = entity_tag(server, path)
    if coding := case.coding_for(server):
        wait_for_coding(server, path, coding)
        return {"Accept-Encoding": coding}
    if case.conditional and not is_current(server, path, tag):
        sys.exit(f"{server.name} {path}: expected 304 for its own ETag {tag}")
    return {"If-None-Match": tag} if case.conditional else {}


def table(rows: list[dict]) -> Iterator[str]:
    for other, name in (("nginx", "nginx"), ("varnish", "Varnish")):
        if other not in rows[0]["rounds"]:
            continue
        yield from side_by_side("hit", rows, other, name)
        yield ""


def side_by_side(what: str, rows: list[dict], other: str, name: str) -> Iterator[str]:
    yield (
        f"| {what} | {name} | Scriptorium | ratio | CPU {name} | Scriptorium | work per CPU second "
        f"| p99 {name} | Scriptorium | ratio |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    yield from (f"| {row['title']} | {' | '.join(cells(row, other))} |" for row in rows)


def cells(row: dict, other: str) -> Iterator[str]:
    """What the other one did, what Scriptorium did, and the ratio: of rate, CPU time and the slowest."""
    if row["by_bytes"]:
        rate, cpu = ("bytes_per_second", 1e-6, "{:,.0f} MB/s"), ("cpu_per_gigabyte", 1, "{:.2f} s/GB")
    else:
        rate, cpu = ("per_second", 1, "{:,.0f} req/s"), ("cpu_per_request", 1e6, "{:.1f} µs")
    for field, scale, form in (rate, cpu, ("p99_ms", 1, "{:.2f} ms")):
        theirs, ours = ([each[field] for each in row["rounds"][name]] for name in (other, "scriptorium"))
        if not any(theirs):
            yield from ("", "", "")
            continue
        yield form.format(median(theirs) * scale)
        yield form.format(median(ours) * scale)
        # Less CPU time for the same is more work per CPU second.
        yield str(ratio(theirs, ours) if field.startswith("cpu") else ratio(ours, theirs))
