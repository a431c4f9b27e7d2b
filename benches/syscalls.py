#!/usr/bin/env python3
"""Counts the system calls that a hit costs the whole proxy, over a real socket. See README.md."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from shutil import which
from socket import create_connection, socket

from bibliotheca import VERSION, Archive, Plan, make_archives, write_documents
from servers import Origin, Scriptorium

ROOT = Path(__file__).resolve().parent.parent
HITS = 10_000
ARCHIVE = Plan("archive-1m", 1_000_000)
INDEXES = {"index-2k": 2_000, "index-50k": 50_000}
# Each connection has one request under way.
CONNECTIONS = (1, 64)
GROUPS = {
    "receive": {"read", "readv", "recvfrom", "recvmsg"},
    "send": {"writev", "sendto", "sendmsg", "sendfile"},
    # The log, and threads that wake one another.
    "write": {"write"},
    "file": {"pread64", "preadv", "openat", "close", "fstat", "statx", "lseek"},
    "wait": {"epoll_wait", "epoll_pwait", "epoll_ctl"},
    "wake": {"futex"},
}


class Client:
    """A connection that asks for one path and reads the whole answer."""

    def __init__(self, server: Scriptorium, path: str) -> None:
        self.connection: socket = create_connection(("127.0.0.1", server.port))
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()

    def ask(self) -> None:
        self.connection.sendall(self.request)

    def read(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._some()
        head, _, body = received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(fields[b"content-length"]) - len(body)
        while left:
            left -= len(self._some())
        return head

    def _some(self) -> bytes:
        if not (some := self.connection.recv(1 << 20)):
            sys.exit("the proxy closed a connection")
        return some


def ask(clients: list[Client], times: int) -> None:
    for _ in range(times // len(clients)):
        for client in clients:
            client.ask()
        for client in clients:
            if not client.read().startswith(b"HTTP/1.1 200"):
                sys.exit("a hit failed")


def count(server: Scriptorium, path: str, connections: int, hits: int, report: Path) -> Counter:
    clients = [Client(server, path) for _ in range(connections)]
    ask(clients, 2 * connections)
    command = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(report), "-p", str(server.process.pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr
    if "attached" not in (said := tracer.stderr.readline()):
        sys.exit(f"strace cannot attach: {said}")
    ask(clients, hits)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate()
    rows = (line.split() for line in report.read_text().splitlines())
    return Counter({row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()})


def show(title: str, calls: Counter, hits: int) -> None:
    del calls["total"]
    groups = {name: sum(calls[call] for call in members) for name, members in GROUPS.items()}
    groups["other"] = calls.total() - sum(groups.values())
    cells = "".join(f"{number / hits:>9.2f}" for number in groups.values())
    most = ", ".join(f"{name} {number / hits:.2f}" for name, number in calls.most_common(7))
    print(f"{title:<34}{cells}   {most}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hits", type=int, default=HITS)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/scriptorium")
    parser.add_argument("--data", type=Path, default=ROOT / "target/bench")
    arguments = parser.parse_args()
    if missing := [tool for tool in ("nginx", "strace") if not which(tool)]:
        sys.exit(f"{' and '.join(missing)} not found; on Debian: apt-get install nginx-light strace")
    cpus = os.sched_getaffinity(0)
    made: dict[str, Archive] = make_archives(arguments.data, [ARCHIVE])
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as name:
        folder = Path(name)
        with Origin(folder / "origin", folder / "www", "archive-crowd", cpus) as origin:
            write_documents(folder / "www", origin.url(""), made, INDEXES)
            with Scriptorium(folder / "proxy", origin, 1, cpus, arguments.binary) as proxy:
                print(f"{'calls per hit':<34}" + "".join(f"{name:>9}" for name in [*GROUPS, "other"]))
                for title, path, hits in (
                    ("2 KB index", "/api/v1/index/volumes/index-2k", arguments.hits),
                    ("50 KB index", "/api/v1/index/volumes/index-50k", arguments.hits),
                    ("1 MB archive", proxy.archive_path("archive-1m", VERSION), arguments.hits // 10),
                ):
                    for connections in CONNECTIONS:
                        hits -= hits % connections
                        calls = count(proxy, path, connections, hits, folder / "strace")
                        show(f"{title}, {connections} connection(s)", calls, hits)


if __name__ == "__main__":
    main()
