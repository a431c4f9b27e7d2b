"""Cold archives: how long the first request takes, and how much memory a large one."""

from collections.abc import Iterator
from statistics import median

from bench import MEGABYTE, Bench
from bibliotheca import VERSION, Archive
from load import download, download_together, gunzip_and_hash, inflate_and_hash
from rounds import ratio
from servers import NginxCache


def measure(bench: Bench, archive: Archive) -> dict:
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
    return {"rounds": times}


def measure_memory(bench: Bench) -> dict:
    """The most memory Scriptorium holds while eight clients pull one cold 200 MB archive."""
    with bench.origin(bench.all_cpus) as origin, bench.scriptorium(origin, bench.all_cpus) as proxy:
        started = proxy.peak_memory()
        seconds = download_together(proxy.url(proxy.archive_path("archive-200m", VERSION)), clients=8)
        return {"peak_bytes": proxy.peak_memory(), "at_start_bytes": started, "seconds": seconds}


def row(found: dict, order: str) -> Iterator[str]:
    rounds = found["rounds"]
    parts = ", ".join(f"{what} {median(seconds):.2f} s" for what, seconds in rounds.items())
    bound = [max(pair) for pair in zip(rounds["download alone"], rounds["gunzip + sha256sum"])]
    times = f"{ratio(rounds['scriptorium'], bound)} × the slower of download and gunzip + sha256sum"
    yield f"| 64 MB archive, entries {order} | {times} ({parts}) |"


def memory_row(found: dict) -> Iterator[str]:
    peak, start = found["peak_bytes"] / MEGABYTE, found["at_start_bytes"] / MEGABYTE
    measured = f"**{peak:.0f} MB** peak memory ({start:.0f} MB at start), {found['seconds']:.2f} s"
    yield f"| 8 clients, cold 200 MB archive | {measured} |"
