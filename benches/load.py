"""Load on a server: wrk measures rates, own sockets measure the time to a response."""

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
HERE = Path(__file__).parent
ASKED_WITHIN = 600


@dataclass(frozen=True)
class Rate:
    """One round of load."""

    requests: int
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
    rest_ms: int = 0,
) -> Rate:
    """wrk for `seconds`, a thread a core, with rests between requests or none."""
    script, told = ("rest.lua", [str(rest_ms)]) if rest_ms else ("report.lua", [])
    before = server.cpu_seconds()
    counted = _wrk(
        server, path, [*_loaders(connections, len(cpus)), f"-d{seconds:g}s"], script, told, cpus, headers
    )
    cpu = server.cpu_seconds() - before
    took = counted["microseconds"] / 1e6
    return Rate(
        requests=counted["requests"],
        per_second=counted["requests"] / took,
        bytes_per_second=counted["bytes"] / took,
        cpu_per_request=cpu / counted["requests"],
        cpu_per_gigabyte=cpu / counted["bytes"] * 1e9,
        p99_ms=counted["p99_us"] / 1000,
    )


def ask_each_once(server: Server, path: str, count: int, connections: int, cpus: set[int]) -> float:
    """Seconds from the first request to the last answer; `path` has a place for the number of a document."""
    options, told = [*_loaders(connections, 1), f"-d{ASKED_WITHIN}s"], [path, str(count)]
    return _wrk(server, "/", options, "once.lua", told, cpus, {})["seconds"]


def _loaders(connections: int, threads: int) -> list[str]:
    return [f"-t{min(threads, connections)}", f"-c{connections}"]


def _wrk(
    server: Server,
    path: str,
    options: list[str],
    script: str,
    told: list[str],
    cpus: set[int],
    headers: dict[str, str],
) -> dict:
    """What the script of a run printed; any failed request makes that worthless and ends the bench."""
    command = ["wrk", *options, "--timeout", "20s", "-s", str(HERE / script)]
    command += [argument for name, value in headers.items() for argument in ("-H", f"{name}: {value}")]
    run = subprocess.run(
        [*command, server.url(path), *told],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    counted = json.loads(run.stdout.splitlines()[-1])
    if counted["failed"] or not counted.get("requests", 1):
        raise SystemExit(f"{server.name} {path}: requests failed\n{run.stdout}")
    return counted


def get(server: Server, path: str, headers: dict[str, str] | None = None) -> bytes:
    """The whole body of a successful response. Any other response raises."""
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
    """Repeats a request until the response has the content coding `coding`: a server may compress it in the background."""
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
    """Seconds to the last byte, and the number of bytes."""
    started, received, buffer = time.monotonic(), 0, bytearray(CHUNK)
    with urllib.request.urlopen(url, timeout=300) as answer:
        while count := answer.readinto(buffer):
            received += count
    return time.monotonic() - started, received


def download_together(url: str, clients: int) -> float:
    """Seconds until each of a few clients has received a whole large body."""
    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        sizes = {size for _, size in pool.map(download, [url] * clients)}
    if len(sizes) != 1:
        raise SystemExit(f"{url}: clients got bodies of different lengths: {sizes}")
    return time.monotonic() - started


def crowd(server: Server, path: str, clients: int, size: int) -> tuple[float, int]:
    """Seconds until the last of many concurrent clients is done, and how many received all `size` bytes."""
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
            # If no length was announced, the end of the connection ends the body.
            if not count or key.data.is_whole():
                selector.unregister(key.fileobj)
                key.fileobj.close()
    took = time.monotonic() - started
    return took, sum(answer.holds(size) for answer in answers)


def silent(server: Server, path: str) -> NoReturn:
    raise SystemExit(f"{server.name} {path}: no byte for anyone in {CROWD_WITHIN:.0f} s")


@contextmanager
def kept_alive(server: Server, path: str, clients: int) -> Iterator[None]:
    """Idle connections, each after one whole response."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with ExitStack() as connections:
        for _ in range(clients):
            connection = connections.enter_context(create_connection(("127.0.0.1", server.port), timeout=60))
            connection.sendall(request)
            answer = Answer()
            while not answer.is_whole():
                part = connection.recv(CHUNK)
                if not part:
                    raise SystemExit(f"{server.name} {path}: a connection was not kept alive")
                answer.add(part)
        yield


class Answer:
    """The response to one client. The head is kept, the bytes of the body are counted."""

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
        """Whether all announced bytes have come."""
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
    """Seconds of zlib and OpenSSL's SHA-256 over the same file on one thread: a faster reference."""
    started, inflate, digest = time.monotonic(), zlib.decompressobj(31), hashlib.sha256()
    with open(file, "rb") as source:
        while compressed := source.read(CHUNK):
            digest.update(inflate.decompress(compressed))
    return time.monotonic() - started
