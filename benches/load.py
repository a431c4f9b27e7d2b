"""Load on a server: by wrk where the rate counts, by own sockets where the first answer does."""

import hashlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from socket import create_connection
from typing import NoReturn

from servers import Server

CHUNK = 1 << 20
CODED_WITHIN = 10.0
CROWD_WITHIN = 60.0
REPORT = Path(__file__).parent / "report.lua"


@dataclass(frozen=True)
class Rate:
    """One round of load."""

    per_second: float
    bytes_per_second: float
    cpu_per_request: float
    cpu_per_gigabyte: float
    p99_ms: float


def hammer(
    server: Server,
    path: str,
    connections: int,
    seconds: float,
    cpus: set[int],
    headers: dict[str, str],
    threads: int = 1,
) -> Rate:
    """wrk for `seconds`; any failed request makes the run worthless and ends it."""
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s"]
    command += ["-s", str(REPORT)]
    command += [argument for name, value in headers.items() for argument in ("-H", f"{name}: {value}")]
    before = server.cpu_seconds()
    run = subprocess.run(
        [*command, server.url(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    cpu = server.cpu_seconds() - before
    counted = json.loads(run.stdout.splitlines()[-1])
    if counted["failed"] or not counted["requests"]:
        raise SystemExit(f"{server.name} {path}: requests failed\n{run.stdout}")
    took = counted["microseconds"] / 1e6
    return Rate(
        per_second=counted["requests"] / took,
        bytes_per_second=counted["bytes"] / took,
        cpu_per_request=cpu / counted["requests"],
        cpu_per_gigabyte=cpu / counted["bytes"] * 1e9,
        p99_ms=counted["p99_us"] / 1000,
    )


def get(server: Server, path: str, headers: dict[str, str] | None = None) -> bytes:
    """A body, whole; anything but success raises."""
    with urllib.request.urlopen(urllib.request.Request(server.url(path), headers=headers or {})) as answer:
        return answer.read()


def entity_tag(server: Server, path: str) -> str:
    with urllib.request.urlopen(server.url(path), timeout=60) as answer:
        answer.read()
        return answer.headers["ETag"]


def is_current(server: Server, path: str, tag: str) -> bool:
    """Whether the server answers 304 to a request that names `tag`."""
    request = urllib.request.Request(server.url(path), headers={"If-None-Match": tag})
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except urllib.error.HTTPError as answer:
        return answer.code == 304
    return False


def wait_for_coding(server: Server, path: str, coding: str) -> None:
    """Asks until the answer comes in `coding`: a server may make it behind the answers."""
    request = urllib.request.Request(server.url(path), headers={"Accept-Encoding": coding})
    deadline = time.monotonic() + CODED_WITHIN
    while time.monotonic() < deadline:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            if answer.headers["Content-Encoding"] == coding:
                return
        time.sleep(0.02)
    raise SystemExit(f"{server.name} {path}: not sent as {coding}")


def download(url: str) -> tuple[float, int]:
    """Seconds to the last byte, and how many bytes came."""
    started, received, buffer = time.monotonic(), 0, bytearray(CHUNK)
    with urllib.request.urlopen(url, timeout=300) as answer:
        while count := answer.readinto(buffer):
            received += count
    return time.monotonic() - started, received


def download_together(url: str, clients: int) -> float:
    """Seconds until each of a few clients has all of a large body."""
    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        sizes = {size for _, size in pool.map(download, [url] * clients)}
    if len(sizes) != 1:
        raise SystemExit(f"{url}: clients got bodies of different lengths: {sizes}")
    return time.monotonic() - started


def crowd(server: Server, path: str, clients: int, size: int) -> tuple[float, int]:
    """Seconds until the last of many clients that ask at once is done, and how many got all `size` bytes."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n".encode()
    selector, buffer, started = DefaultSelector(), memoryview(bytearray(CHUNK)), time.monotonic()
    answers = []
    for _ in range(clients):
        connection = create_connection(("127.0.0.1", server.port), timeout=60)
        connection.sendall(request)
        answer = Answer()
        answers.append(answer)
        selector.register(connection, EVENT_READ, answer)
    while selector.get_map():
        for key, _ in selector.select(timeout=CROWD_WITHIN) or silent(server, path):
            count = key.fileobj.recv_into(buffer)
            key.data.add(buffer[:count])
            # Where no length was announced, the end of the connection is the last byte.
            if not count or key.data.is_whole():
                selector.unregister(key.fileobj)
                key.fileobj.close()
    took = time.monotonic() - started
    return took, sum(answer.holds(size) for answer in answers)


def silent(server: Server, path: str) -> NoReturn:
    raise SystemExit(f"{server.name} {path}: no byte for anyone in {CROWD_WITHIN:.0f} s")


@contextmanager
def kept_alive(server: Server, path: str, clients: int) -> Iterator[None]:
    """Connections that have had one answer each, whole, and ask for nothing more."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with ExitStack() as connections:
        for _ in range(clients):
            connection = connections.enter_context(
                create_connection(("127.0.0.1", server.port), timeout=60)
            )
            connection.sendall(request)
            answer = Answer()
            while not answer.is_whole():
                part = connection.recv(CHUNK)
                if not part:
                    raise SystemExit(f"{server.name} {path}: a connection was not kept alive")
                answer.add(part)
        yield


class Answer:
    """What one client got: its head is kept, its body only counted."""

    def __init__(self) -> None:
        self.head, self.received, self.announced = b"", 0, -1

    def add(self, part: memoryview | bytes) -> None:
        self.received += len(part)
        if self.announced < 0 and b"\r\n\r\n" not in self.head:
            self.head += bytes(part[:4096])
            head, ended, _ = self.head.partition(b"\r\n\r\n")
            if ended and (length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)):
                self.announced = len(head) + 4 + int(length[1])

    def is_whole(self) -> bool:
        """Whether all that was announced has come."""
        return self.received == self.announced and b" 200" in self.head[:12]

    def holds(self, size: int) -> bool:
        """Whether a body of `size` bytes has come, announced or not."""
        length = self.received - len(self.head.partition(b"\r\n\r\n")[0]) - 4
        return b" 200" in self.head[:12] and (length == size if self.announced >= 0 else length >= size)


def gunzip_and_hash(file: str) -> float:
    """Seconds of `gzip -dc FILE | sha256sum`: two programs, so up to two cores."""
    started = time.monotonic()
    subprocess.run(f"gzip -dc '{file}' | sha256sum", shell=True, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def inflate_and_hash(file: str) -> float:
    """Seconds of zlib and OpenSSL's SHA-256 over the same file on one thread: a harder yardstick."""
    started, inflate, digest = time.monotonic(), zlib.decompressobj(31), hashlib.sha256()
    with open(file, "rb") as source:
        while compressed := source.read(CHUNK):
            digest.update(inflate.decompress(compressed))
    return time.monotonic() - started
