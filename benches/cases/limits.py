"""The machine's limits: what its loopback, digests and checksums could do with nothing around them."""

import hashlib
import os
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from statistics import median

from bench import Bench

CHUNK = 1 << 18
LOOPBACK_BYTES = 4 << 30
BUFFER_BYTES = 64 << 20


def measure(bench: Bench) -> dict:
    """Medians of as many rounds as the other cases have."""
    compressed = open(bench.archives["archive-64m"].file, "rb").read()
    plain = memoryview(os.urandom(BUFFER_BYTES))
    pieces = [plain[start : start + CHUNK] for start in range(0, len(plain), CHUNK)]
    rounds = [
        {
            "loopback": loopback(),
            "sha256": speed(lambda: digest(pieces), BUFFER_BYTES),
            "crc32": speed(lambda: checksum(pieces), BUFFER_BYTES),
            "gunzip": speed(lambda: inflate(compressed), bench.archives["archive-64m"].unpacked),
        }
        for _ in range(bench.rounds)
    ]
    result: dict = {name: median(each[name] for each in rounds) for name in ("sha256", "crc32", "gunzip")}
    result["loopback"] = [median(each["loopback"][index] for each in rounds) for index in range(3)]
    return result


def loopback() -> tuple[float, float, float]:
    """GB/s of one TCP connection, and the CPU seconds per GB of who sends and of who receives."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if (sender := os.fork()) == 0:
            send(listener.getsockname())
        connection, _ = listener.accept()
    buffer, received, started, cpu = bytearray(CHUNK), 0, time.monotonic(), time.process_time()
    with connection:
        while count := connection.recv_into(buffer):
            received += count
    took, receiving = time.monotonic() - started, time.process_time() - cpu
    usage = os.wait4(sender, 0)[2]
    gigabytes = received / 1e9
    return gigabytes / took, (usage.ru_utime + usage.ru_stime) / gigabytes, receiving / gigabytes


def send(address: tuple[str, int]) -> None:
    """The other process; it must not return into the bench."""
    try:
        data = bytes(CHUNK)
        with socket.create_connection(address) as connection:
            for _ in range(LOOPBACK_BYTES // CHUNK):
                connection.sendall(data)
    finally:
        os._exit(0)


def digest(pieces: list[memoryview]) -> None:
    sha256 = hashlib.sha256()
    for piece in pieces:
        sha256.update(piece)
    sha256.digest()


def checksum(pieces: list[memoryview]) -> None:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)


def inflate(compressed: bytes) -> None:
    decompressor = zlib.decompressobj(31)
    for start in range(0, len(compressed), CHUNK):
        decompressor.decompress(compressed[start : start + CHUNK])


def speed(work: Callable[[], None], size: int) -> float:
    """Bytes per CPU second, which other processes disturb less than they do the clock."""
    started = time.process_time()
    work()
    return size / (time.process_time() - started)


def table(found: dict) -> Iterator[str]:
    rate, sending, receiving = found["loopback"]
    yield "| the machine's limits, one core | |"
    yield "|---|---|"
    costs = f"{sending:.3f} s/GB to send, {receiving:.3f} s/GB to receive"
    yield f"| loopback, one TCP connection, a core at each end | {rate:.2f} GB/s; CPU {costs} |"
    for name, title in (
        ("sha256", "SHA-256, OpenSSL"),
        ("crc32", "CRC-32, zlib"),
        ("gunzip", "gunzip, zlib, of what comes out"),
    ):
        yield f"| {title} | {found[name] / 1e6:,.0f} MB/s |"
