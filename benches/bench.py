"""One run: its servers, their cores and their folders."""

import argparse
import os
import shutil
import sys
from functools import cached_property
from pathlib import Path

from bibliotheca import Archive, Plan, make_archives, write_documents
from certificate import Certificate, make_certificate
from peers.peer import Absent
from peers.varnish import Varnish
from servers import NginxCache, Origin, Scriptorium

MEGABYTE = 1_000_000
# Above this load average, other programs change the rates.
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
    """Starts servers, each in a folder of its own, and sets the number and the length of rounds."""

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
        """The folder of the origin's files."""
        return self.folder / "www"

    def nginx(
        self, origin: Origin, cpus: set[int], threads: int = 0, certificate: Certificate | None = None
    ) -> NginxCache:
        threads, plain = threads or self.arguments.threads, self.arguments.plain
        return NginxCache(self.new_folder("nginx"), origin, threads, cpus, plain, certificate)

    def scriptorium(
        self,
        origin: Origin,
        cpus: set[int],
        threads: int = 0,
        certificate: Certificate | None = None,
        mirrors: dict[str, list[str]] | None = None,
        storage: str = "",
        cluster: str = "",
        git_host: str = "",
    ) -> Scriptorium:
        threads, binary = threads or self.arguments.threads, self.arguments.binary
        folder = self.new_folder("scriptorium")
        return Scriptorium(
            folder, origin, threads, cpus, binary, certificate, mirrors, storage, cluster, git_host
        )

    def varnish(self, origin: Origin, cpus: set[int]) -> Varnish | None:
        """Varnish, or None if it is not installed, which each case reports once."""
        try:
            return Varnish(self.new_folder("varnish"), origin, self.arguments.threads, cpus)
        except Absent as why:
            print(f"({why})", file=sys.stderr)
            return None

    @cached_property
    def certificate(self) -> Certificate:
        return make_certificate(self.folder)

    def split_cpus(self) -> tuple[set[int], set[int]]:
        """The cores of the proxies and the cores of everything else. With too few cores, both share all of them."""
        cpus, threads = sorted(self.all_cpus), self.arguments.threads
        if len(cpus) <= threads:
            return self.all_cpus, self.all_cpus
        return set(cpus[:threads]), set(cpus[threads:])

    def division(self) -> str:
        """Who has which cores for a load that lasts, in words."""
        served, loading = self.split_cpus()
        if served == loading:
            return "proxies, load and origin share all cores"
        on = [f"{'core' if len(cpus) == 1 else 'cores'} {spelled(cpus)}" for cpus in (served, loading)]
        return f"proxies on {on[0]}, load and origin on {on[1]}"

    def new_folder(self, name: str) -> Path:
        self.started += 1
        return self.folder / f"{self.started}-{name}"

    def conditions(self) -> str:
        """The machine and the load, which a reader needs to judge the figures."""
        cpuinfo = Path("/proc/cpuinfo").read_text()
        model = next(
            (line.partition(": ")[2] for line in cpuinfo.splitlines() if line.startswith("model name")), "?"
        )
        return (
            f"{len(self.all_cpus)} cores ({model}), {self.arguments.threads} thread(s) a proxy, "
            f"{self.division()}, nginx {'as it comes' if self.arguments.plain else 'tuned'}, "
            f"{self.rounds} round(s) of {self.seconds} s, load average before the run {self.load:.1f}"
            + (": this machine is busy, only the CPU columns hold" if self.load > BUSY else "")
        )


def spelled(cpus: set[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))
