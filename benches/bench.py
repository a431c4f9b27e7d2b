"""One run: what it measures with, on which cores, and the servers' common ground."""

import argparse
import os
import shutil
import sys
from pathlib import Path

from bibliotheca import Archive, Plan, make_archives, write_documents
from peers.peer import Absent
from peers.varnish import Varnish
from servers import NginxCache, Origin, Scriptorium

MEGABYTE = 1_000_000
# A load average above it means that the rates show who else was at work.
BUSY = 0.7
CROWD = "archive-crowd"
PLANS = [
    Plan("archive-1m", 1 * MEGABYTE),
    Plan(CROWD, 1 * MEGABYTE),
    Plan("archive-64m", 64 * MEGABYTE),
    Plan("archive-64m-shuffled", 64 * MEGABYTE, shuffled=True),
    Plan("archive-200m", 200 * MEGABYTE),
]
INDEXES = {"index-2k": 2_000, "index-50k": 50_000}


class Bench:
    """Starts servers in folders of their own and says how long and how often to measure."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder, self.started = arguments, folder, 0
        self.load = os.getloadavg()[0]
        self.rounds, self.seconds = (2, 2) if arguments.quick else (5, 4)
        self.archives: dict[str, Archive] = make_archives(arguments.data, PLANS)
        self.all_cpus = os.sched_getaffinity(0)

    def origin(self, cpus: set[int]) -> Origin:
        origin = Origin(self.new_folder("origin"), self.root, CROWD, cpus)
        shutil.rmtree(self.root, ignore_errors=True)
        write_documents(self.root, origin.url(""), self.archives, INDEXES)
        return origin

    @property
    def root(self) -> Path:
        """Where the origin's files are."""
        return self.folder / "www"

    def nginx(self, origin: Origin, cpus: set[int], threads: int = 0) -> NginxCache:
        threads = threads or self.arguments.threads
        return NginxCache(self.new_folder("nginx"), origin, threads, cpus, self.arguments.tuned)

    def scriptorium(self, origin: Origin, cpus: set[int], threads: int = 0) -> Scriptorium:
        threads = threads or self.arguments.threads
        return Scriptorium(self.new_folder("scriptorium"), origin, threads, cpus, self.arguments.binary)

    def varnish(self, origin: Origin, cpus: set[int]) -> Varnish | None:
        """None where it is not installed, which is said once a case."""
        try:
            return Varnish(self.new_folder("varnish"), origin, self.arguments.threads, cpus)
        except Absent as why:
            print(f"({why})", file=sys.stderr)
            return None

    def split_cpus(self) -> tuple[set[int], set[int]]:
        """Cores for the proxies and cores for the rest; all of them for both where they are too few."""
        cpus, threads = sorted(self.all_cpus), self.arguments.threads
        if len(cpus) <= threads:
            return self.all_cpus, self.all_cpus
        return set(cpus[:threads]), set(cpus[threads:])

    def new_folder(self, name: str) -> Path:
        self.started += 1
        return self.folder / f"{self.started}-{name}"

    def conditions(self) -> str:
        """What a reader must know to judge the figures."""
        cpuinfo = Path("/proc/cpuinfo").read_text()
        model = next(
            (line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name")), "?"
        )
        return (
            f"{len(self.all_cpus)} cores ({model}), {self.arguments.threads} thread(s) a proxy, "
            f"nginx {'tuned' if self.arguments.tuned else 'as it comes'}, {self.rounds} rounds of "
            f"{self.seconds} s, load average before the run {self.load:.1f}"
            + (": this machine is busy, only the CPU columns hold" if self.load > BUSY else "")
        )
