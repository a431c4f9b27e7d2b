#!/usr/bin/env python3
"""Counts the system calls that a request costs a proxy under load, as the kernel counts. See README.md."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which

from bench import Bench
from cases import cold_documents, hits
from load import get, hammer
from run import ROOT, forget_proxies
from servers import Server

CONNECTIONS = 64
REST_MS = 20
CALLS = {
    "receive": "read readv recvfrom recvmsg",
    "send": "sendto sendmsg sendfile64",
    "wait": "epoll_wait epoll_pwait epoll_pwait2 epoll_ctl",
    "file": "openat close newfstat newfstatat statx lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 "
    "fallocate ftruncate mkdir rename renameat renameat2 link linkat unlink unlinkat",
    "flush": "fsync fdatasync sync_file_range",
}
# Threads that wake one another write to an eventfd or call futex.
COLUMNS = ["receive", "send", "eventfd", "futex", "log", "wait", "file", "flush"]
WAKE = "op == 1 || op == 129"

Event = tuple[str, str, str]


def events(proxy: Server) -> Iterator[Event]:
    """The column, the call, and which of these calls; the kernel filters before it counts."""
    eventfds, logs = descriptors(proxy, "anon_inode:[eventfd]"), descriptors(proxy, str(log_of(proxy)))
    yield from ((column, call, "") for column, calls in CALLS.items() for call in calls.split())
    yield "eventfd", "write", one_of(eventfds)
    yield "futex", "futex", WAKE
    yield "log", "write", one_of(logs)
    yield "log", "writev", one_of(logs)
    yield "send", "writev", none_of(logs)
    yield "file", "write", none_of(eventfds | logs)


def log_of(proxy: Server) -> Path:
    return proxy.folder / ("access.log" if proxy.name == "nginx" else "output.log")


def descriptors(proxy: Server, target: str) -> set[int]:
    """The numbers under which any process of the proxy has something open."""
    links = (link for pid in proxy.processes() for link in Path(f"/proc/{pid}/fd").iterdir())
    found = set()
    for link in links:
        # A connection that closes at this moment is neither.
        with suppress(FileNotFoundError):
            if os.readlink(link) == target:
                found.add(int(link.name))
    return found


def one_of(numbers: set[int]) -> str:
    return " || ".join(f"fd == {number}" for number in numbers) or "fd == 1000000"


def none_of(numbers: set[int]) -> str:
    return " && ".join(f"fd != {number}" for number in numbers) or "fd != 1000000"


@contextmanager
def counted(proxy: Server) -> Iterator[Counter]:
    """What all threads of the proxy call until the block ends."""
    watched, calls = [*events(proxy)], Counter()
    command = ["perf", "stat", "-x,", "-D-1", "-p", ",".join(map(str, proxy.processes()))]
    for _, call, which_of in watched:
        command += ["-e", f"syscalls:sys_enter_{call}", *(["--filter", which_of] if which_of else [])]
    # perf says on the second pipe that it counts.
    begin, acknowledge = os.pipe(), os.pipe()
    command += ["-e", "raw_syscalls:sys_enter", "--control", f"fd:{begin[0]},{acknowledge[1]}"]
    perf = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, pass_fds=(begin[0], acknowledge[1]))
    os.close(acknowledge[1])
    os.write(begin[1], b"enable\n")
    begun = os.read(acknowledge[0], 16)
    try:
        if begun:
            yield calls
    finally:
        perf.send_signal(signal.SIGINT)
        said = perf.communicate()[1]
        for descriptor in (*begin, acknowledge[0]):
            os.close(descriptor)
    rows = [line.split(",") for line in said.splitlines() if ":sys_enter" in line]
    if not begun or len(rows) != len(watched) + 1:
        sys.exit(f"perf cannot count; it needs root and tracefs:\n{said}")
    # A call that no thread made is "not counted".
    numbers = [int(row[0]) if row[0].isdigit() else 0 for row in rows]
    if not numbers[-1]:
        sys.exit(f"{proxy.name} made no system call")
    for (column, _, _), number in zip(watched, numbers):
        calls[column] += number
    calls["other"] = numbers[-1] - sum(numbers[:-1])


def show(title: str, calls: Counter, requests: int, per_second: float) -> None:
    cells = "".join(f"{calls[column] / requests:>9.3f}" for column in [*COLUMNS, "other"])
    print(f"{title:<52}{per_second:>10,.0f}{cells}", flush=True)


def measure_hits(bench: Bench) -> None:
    """Full load, one connection, and connections that rest, which the proxy sees one request at a time."""
    loads = {f"{CONNECTIONS} connections": (CONNECTIONS, 0), "1 connection": (1, 0)}
    loads[f"{CONNECTIONS} that rest {REST_MS} ms"] = (CONNECTIONS, REST_MS)
    wanted = ("hit-2k", "not-modified", "hit-50k", "hit-1m")
    served, loading = bench.split_cpus()
    with bench.origin(loading) as origin:
        for start in (bench.nginx, bench.scriptorium):
            with start(origin, served) as proxy:
                for hit in (hit for hit in hits.HITS if hit.name in wanted):
                    headers = hits.conditions(proxy, hit)
                    for name, (connections, rest) in loads.items():
                        path, seconds = hit.path(proxy), bench.seconds
                        with counted(proxy) as calls:
                            rate = hammer(proxy, path, connections, seconds, loading, headers, rest)
                        title = f"{proxy.name}: {hit.title}, {name}"
                        show(title, calls, rate.requests, rate.per_second)


def measure_documents(bench: Bench) -> None:
    """Documents that nobody has asked for, each once; what is flushed behind the answers counts, too."""
    count = cold_documents.count(bench)
    served, loading = bench.split_cpus()
    with bench.origin(loading) as origin:
        cold_documents.publish(bench, origin, count)
        for start in (bench.nginx, bench.scriptorium):
            with start(origin, served) as proxy:
                # A port listens before its workers run; an answer comes from one that does.
                get(proxy, hits.index_of("index-2k")(proxy))
                with counted(proxy) as calls:
                    seconds = cold_documents.ask_all(proxy, count, loading)
                    cold_documents.wait_for_rest(proxy)
                show(f"{proxy.name}: cold 2 KB document", calls, count, count / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 s a row instead of 4")
    parser.add_argument("--threads", type=int, default=2, help="worker threads of a proxy (default 2)")
    parser.add_argument("--plain", action="store_true", help="nginx as it comes")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/scriptorium")
    parser.add_argument("--data", type=Path, default=ROOT / "target/bench")
    arguments = parser.parse_args()
    arguments.binary, arguments.data = arguments.binary.resolve(), arguments.data.resolve()
    if missing := [tool for tool in ("nginx", "wrk", "perf") if not which(tool)]:
        sys.exit(f"{' and '.join(missing)} not found; on Debian: apt-get install nginx-light wrk linux-perf")
    forget_proxies()
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder:
        bench = Bench(arguments, Path(folder))
        # Counts vary less than rates.
        bench.rounds = 1
        print(bench.conditions(), end="\n\n")
        columns = "".join(f"{column:>9}" for column in [*COLUMNS, "other"])
        print(f"{'calls a request':<52}{'req/s':>10}{columns}", flush=True)
        measure_hits(bench)
        measure_documents(bench)


if __name__ == "__main__":
    main()
