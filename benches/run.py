#!/usr/bin/env python3
"""Measures Scriptorium beside nginx's proxy_cache, in the same run, on this machine. See README.md."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from statistics import median

from bibliotheca import VERSION, Archive, Plan, make_archives, write_documents
from load import (
    Rate,
    crowd,
    download,
    download_together,
    entity_tag,
    gunzip_and_hash,
    hammer,
    inflate_and_hash,
    is_current,
    kept_alive,
    wait_for_coding,
)
from servers import NginxCache, Origin, Scriptorium, Server

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1_000_000
# A load average above it means that the rates show who else was at work.
BUSY = 0.7
PLANS = [
    Plan("archive-1m", 1 * MEGABYTE),
    Plan("archive-crowd", 1 * MEGABYTE),
    Plan("archive-64m", 64 * MEGABYTE),
    Plan("archive-64m-shuffled", 64 * MEGABYTE, shuffled=True),
    Plan("archive-200m", 200 * MEGABYTE),
]
IDLE = 10_000
INDEXES = {"index-2k": 2_000, "index-50k": 50_000}


@dataclass(frozen=True)
class Hit:
    """A case of the first table: one cached thing, asked for again and again."""

    name: str
    title: str
    connections: int
    path: Callable[[Server], str]
    conditional: bool = False
    by_bytes: bool = False
    coding: str = ""


def index_of(name: str) -> Callable[[Server], str]:
    return lambda _: f"/api/v1/index/volumes/{name}"


def archive_of(name: str) -> Callable[[Server], str]:
    return lambda server: server.archive_path(name, VERSION)


HITS = [
    Hit("hit-2k", "2 KB document", 64, index_of("index-2k")),
    Hit("hit-50k", "50 KB document", 64, index_of("index-50k")),
    Hit("hit-50k-gzip", "50 KB document, gzip", 64, index_of("index-50k"), coding="gzip"),
    Hit("not-modified", "2 KB document, 304", 64, index_of("index-2k"), conditional=True),
    Hit("hit-1m", "1 MB archive", 16, archive_of("archive-1m"), by_bytes=True),
    Hit("hit-64m", "64 MB archive", 4, archive_of("archive-64m"), by_bytes=True),
]
OTHERS = ["cold", "order", "memory", "idle", "crowd"]


class Bench:
    """One run: what to measure with, and the servers' common ground."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder, self.started = arguments, folder, 0
        self.load = os.getloadavg()[0]
        self.rounds, self.seconds = (2, 2) if arguments.quick else (5, 6)
        self.archives = make_archives(arguments.data, PLANS)
        self.all_cpus = os.sched_getaffinity(0)

    def origin(self, cpus: set[int]) -> Origin:
        root = self.folder / "www"
        shutil.rmtree(root, ignore_errors=True)
        origin = Origin(self._folder("origin"), root, "archive-crowd", cpus)
        write_documents(root, origin.url(""), self.archives, INDEXES)
        return origin

    def nginx(self, origin: Origin, cpus: set[int]) -> NginxCache:
        arguments = self.arguments
        return NginxCache(self._folder("nginx"), origin, arguments.threads, cpus, arguments.tuned)

    def scriptorium(self, origin: Origin, cpus: set[int]) -> Scriptorium:
        arguments = self.arguments
        return Scriptorium(self._folder("scriptorium"), origin, arguments.threads, cpus, arguments.binary)

    def split_cpus(self) -> tuple[set[int], set[int]]:
        """Cores for the proxies and cores for the rest; all of them for both where they are too few."""
        cpus, threads = sorted(self.all_cpus), self.arguments.threads
        if len(cpus) <= threads:
            return self.all_cpus, self.all_cpus
        return set(cpus[:threads]), set(cpus[threads:])

    def _folder(self, name: str) -> Path:
        self.started += 1
        return self.folder / f"{self.started}-{name}"


def hits(bench: Bench, cases: list[Hit]) -> Iterator[dict]:
    """Rounds alternate between the two proxies, and so does which of them goes first."""
    served, loading = bench.split_cpus()
    with (
        bench.origin(loading) as origin,
        bench.nginx(origin, served) as nginx,
        bench.scriptorium(origin, served) as scriptorium,
    ):
        for case in cases:
            rounds: dict[str, list[Rate]] = {nginx.name: [], scriptorium.name: []}
            headers = {server.name: conditions(server, case) for server in (nginx, scriptorium)}
            asked = origin.requests()
            for number in range(bench.rounds):
                for server in (nginx, scriptorium)[:: -1 if number % 2 else 1]:
                    path = case.path(server)
                    rate = hammer(
                        server, path, case.connections, bench.seconds, loading, headers[server.name]
                    )
                    rounds[server.name].append(rate)
            if origin.requests() != asked:
                sys.exit(f"{case.name}: not every request was a hit, the origin was asked again")
            yield hit_row(case, rounds[nginx.name], rounds[scriptorium.name])


def conditions(server: Server, case: Hit) -> dict[str, str]:
    """The headers to ask with; asks first, which brings the thing into the cache."""
    path = case.path(server)
    tag = entity_tag(server, path)
    if case.coding:
        wait_for_coding(server, path, case.coding)
        return {"Accept-Encoding": case.coding}
    if case.conditional and not is_current(server, path, tag):
        sys.exit(f"{server.name} {path}: expected 304 for its own ETag {tag}")
    return {"If-None-Match": tag} if case.conditional else {}


def hit_row(case: Hit, nginx: list[Rate], scriptorium: list[Rate]) -> dict:
    rate, cpu = (
        ("bytes_per_second", "cpu_per_gigabyte") if case.by_bytes else ("per_second", "cpu_per_request")
    )
    row = {"case": case.name, "title": case.title, "by_bytes": case.by_bytes}
    for name, field in (("rate", rate), ("cpu", cpu), ("p99_ms", "p99_ms")):
        ours, theirs = (
            median(getattr(round_, field) for round_ in rounds) for rounds in (scriptorium, nginx)
        )
        row[name] = {"nginx": theirs, "scriptorium": ours, "ratio": ours / theirs}
    row["rounds"] = {"nginx": [*map(asdict, nginx)], "scriptorium": [*map(asdict, scriptorium)]}
    return row


def cold(bench: Bench, archive: Archive) -> dict:
    """The first request for a 64 MB archive, with an empty cache each time, against its parts."""
    times: dict[str, list[float]] = {}

    def note(what: str, seconds: float) -> None:
        times.setdefault(what, []).append(seconds)

    with bench.origin(bench.all_cpus) as origin:
        for _ in range(bench.rounds):
            note("download alone", download(origin.url(NginxCache.archive_path(archive.name, VERSION)))[0])
            note("gunzip + sha256sum", gunzip_and_hash(archive.file))
            note("zlib + OpenSSL on one thread", inflate_and_hash(archive.file))
            for start in (bench.nginx, bench.scriptorium):
                with start(origin, bench.all_cpus) as proxy:
                    note(proxy.name, download(proxy.url(proxy.archive_path(archive.name, VERSION)))[0])
    seconds = {what: median(rounds) for what, rounds in times.items()}
    bound = max(seconds["download alone"], seconds["gunzip + sha256sum"])
    return {"seconds": seconds, "ratio": seconds["scriptorium"] / bound, "rounds": times}


def memory(bench: Bench) -> dict:
    """The most memory Scriptorium holds while eight clients pull one cold 200 MB archive."""
    with bench.origin(bench.all_cpus) as origin, bench.scriptorium(origin, bench.all_cpus) as proxy:
        started = proxy.peak_memory()
        seconds = download_together(proxy.url(proxy.archive_path("archive-200m", VERSION)), clients=8)
        return {"peak_bytes": proxy.peak_memory(), "at_start_bytes": started, "seconds": seconds}


def idle(bench: Bench) -> dict:
    """What connections cost that were answered once, a cached 2 KB document, and are kept alive."""
    result = {}
    with bench.origin(bench.all_cpus) as origin:
        for start in (bench.nginx, bench.scriptorium):
            with start(origin, bench.all_cpus) as proxy:
                path = index_of("index-2k")(proxy)
                entity_tag(proxy, path)
                started = proxy.memory()
                with kept_alive(proxy, path, clients=IDLE):
                    result[proxy.name] = {"at_start_bytes": started, "bytes": proxy.memory()}
    return result


def crowds(bench: Bench) -> dict:
    """Five hundred clients at once on one cold 1 MB archive that takes the origin a quarter of a second."""
    result = {}
    for start in (bench.nginx, bench.scriptorium):
        with bench.origin(bench.all_cpus) as origin, start(origin, bench.all_cpus) as proxy:
            seconds = crowd(proxy, proxy.archive_path("archive-crowd", VERSION), clients=500)
            asked = origin.requests(NginxCache.archive_path("archive-crowd", VERSION))
            result[proxy.name] = {"last_byte_seconds": seconds, "upstream_requests": asked}
    return result


def conditions_of(bench: Bench) -> str:
    """What a reader must know to judge the figures."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name")), "?"
    )
    threads = bench.arguments.threads
    return (
        f"{len(bench.all_cpus)} cores ({model}), {threads} thread(s) a proxy, "
        f"nginx {'tuned' if bench.arguments.tuned else 'as it comes'}, {bench.rounds} rounds of "
        f"{bench.seconds} s, load average before the run {bench.load:.1f}"
        + (": this machine is busy, only the CPU columns hold" if bench.load > BUSY else "")
    )


def hit_table(rows: list[dict]) -> Iterator[str]:
    yield "| hit | nginx | Scriptorium | ratio | CPU nginx | Scriptorium | ratio | p99 nginx | Scriptorium |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for row in rows:
        rate = compared(row["rate"], "{:,.0f}", *((1e-6, "MB/s") if row["by_bytes"] else (1, "req/s")))
        cpu = compared(row["cpu"], "{:.2f}", *((1, "s/GB") if row["by_bytes"] else (1e6, "µs")))
        p99 = row["p99_ms"]
        yield f"| {row['title']} | {rate} | {cpu} | {p99['nginx']:.2f} ms | {p99['scriptorium']:.2f} ms |"


def compared(figures: dict, form: str, scale: float, unit: str) -> str:
    """Three cells: nginx, Scriptorium, their ratio."""
    theirs, ours = (form.format(figures[name] * scale) for name in ("nginx", "scriptorium"))
    return f"{theirs} {unit} | {ours} {unit} | **{figures['ratio']:.2f}**"


def other_table(results: dict) -> Iterator[str]:
    yield "| cold | measured |"
    yield "|---|---|"
    for case, order in (("cold", "in path order"), ("order", "shuffled")):
        if case in results:
            parts = ", ".join(f"{what} {seconds:.2f} s" for what, seconds in results[case]["seconds"].items())
            bound = f"**{results[case]['ratio']:.2f}** × the slower of download and gunzip + sha256sum"
            yield f"| 64 MB archive, entries {order} | {bound} ({parts}) |"
    if "memory" in results:
        found = results["memory"]
        peak, start = found["peak_bytes"] / MEGABYTE, found["at_start_bytes"] / MEGABYTE
        measured = f"**{peak:.0f} MB** peak memory ({start:.0f} MB idle), {found['seconds']:.2f} s"
        yield f"| 8 clients, 200 MB archive | {measured} |"
    for name, found in results.get("idle", {}).items():
        total, start = found["bytes"] / MEGABYTE, found["at_start_bytes"] / MEGABYTE
        each = (found["bytes"] - found["at_start_bytes"]) / IDLE / 1024
        measured = f"**{total:.0f} MB** ({start:.0f} MB without), {each:.1f} KiB each"
        yield f"| {IDLE:,} idle connections, {name} | {measured} |"
    for name, found in results.get("crowd", {}).items():
        asked = f"**{found['upstream_requests']}** upstream requests"
        last = f"last byte after {found['last_byte_seconds']:.2f} s"
        yield f"| 500 clients, 1 MB archive, {name} | {asked}, {last} |"


def arguments() -> argparse.Namespace:
    names = [case.name for case in HITS] + OTHERS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s: a glance, no result")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}"
    )
    parser.add_argument("--threads", type=int, default=1, help="worker threads of either proxy (default 1)")
    parser.add_argument("--tuned", action="store_true", help="nginx with a buffered log and open_file_cache")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round there")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/scriptorium")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "target/bench", help="where generated archives are kept"
    )
    parsed = parser.parse_args()
    parsed.only = parsed.only or names
    parsed.binary, parsed.data = parsed.binary.resolve(), parsed.data.resolve()
    return parsed


def check_tools(binary: Path) -> None:
    missing = [tool for tool in ("nginx", "wrk") if not shutil.which(tool)]
    if missing:
        sys.exit(f"{' and '.join(missing)} not found; on Debian: apt-get install nginx-light wrk")
    if not binary.exists():
        sys.exit(f"{binary} not found; build it with: cargo build --release")


def main() -> None:
    chosen = arguments()
    check_tools(chosen.binary)
    os.environ["no_proxy"] = "*"
    setrlimit(RLIMIT_NOFILE, (getrlimit(RLIMIT_NOFILE)[1],) * 2)
    results: dict = {}
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder:
        bench = Bench(chosen, Path(folder))
        results["conditions"] = conditions_of(bench)
        print(results["conditions"], end="\n\n", flush=True)
        if cases := [case for case in HITS if case.name in chosen.only]:
            results["hits"] = list(hits(bench, cases))
            print("\n".join(hit_table(results["hits"])), end="\n\n", flush=True)
        parts = {
            "cold": lambda: cold(bench, bench.archives["archive-64m"]),
            "order": lambda: cold(bench, bench.archives["archive-64m-shuffled"]),
            "memory": lambda: memory(bench),
            "idle": lambda: idle(bench),
            "crowd": lambda: crowds(bench),
        }
        results |= {name: part() for name, part in parts.items() if name in chosen.only}
        if set(parts) & set(results):
            print("\n".join(other_table(results)), flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
