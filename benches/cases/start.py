"""Start: from executing the program to the last byte of its first hit, out of a store filled before."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from socket import socket

from bench import Bench
from load import Answer, entity_tag
from rounds import spread, take_turns
from servers import Server

from cases.hits import index_of

TIMES_A_ROUND = 2
STARTS_WITHIN = 20.0


def measure(bench: Bench) -> dict:
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(bench.all_cpus))
        proxies: list[Server] = [
            running.enter_context(start(origin, bench.all_cpus)) for start in (bench.nginx, bench.scriptorium)
        ]
        for proxy in proxies:
            entity_tag(proxy, index_of("index-2k")(proxy))
            proxy.halt()
        asked = origin.requests()
        results = take_turns(proxies, TIMES_A_ROUND * bench.rounds, first_hit)
        if origin.requests() != asked:
            sys.exit("start: the first answer was no hit, the origin was asked again")
    return {proxy.name: seconds for proxy, seconds in zip(proxies, results)}


def first_hit(proxy: Server) -> float:
    """Starts a proxy that was halted, asks until it answers, and halts it."""
    path = index_of("index-2k")(proxy)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n\r\n".encode()
    started = time.monotonic()
    proxy.execute()
    try:
        while time.monotonic() < started + STARTS_WITHIN:
            with socket() as connection:
                if connection.connect_ex(("127.0.0.1", proxy.port)):
                    continue
                connection.sendall(request)
                answer = Answer()
                while not answer.is_whole() and (part := connection.recv(1 << 16)):
                    answer.add(part)
                if answer.is_whole():
                    return time.monotonic() - started
        sys.exit(f"{proxy.name}: no hit within {STARTS_WITHIN:.0f} s of its start")
    finally:
        proxy.halt()


def rows(found: dict) -> Iterator[str]:
    for name, seconds in found.items():
        milliseconds = spread([each * 1000 for each in seconds], "{:.0f}")
        yield f"| exec to the last byte of the first hit, {name} | {milliseconds} ms |"
