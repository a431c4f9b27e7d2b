"""TLS: hits of a 2 KB document over HTTP/1.1 and HTTP/2, and handshakes, of proxies with one certificate."""

import os
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from http.client import HTTPSConnection

from bench import Bench
from certificate import Certificate
from h2load import hammer_streams
from load import Rate, hammer
from rounds import take_turns
from servers import Server

from cases.hits import index_of, side_by_side

CONNECTIONS = 64
# Connections and streams on each: 64 requests under way in both.
MULTIPLEXED = ((64, 1), (8, 8))
# Programs that shake hands, one connection at a time each.
HANDSHAKERS = 8

Load = Callable[[Server, set[int]], Rate]


def measure(bench: Bench) -> list[dict]:
    path = index_of("index-2k")
    return rows(
        bench,
        {
            "2 KB document, HTTP/1.1": lambda proxy, cpus: hammer(
                proxy, path(proxy), CONNECTIONS, bench.seconds, cpus, {}
            ),
            "full handshake, no request": lambda proxy, cpus: shake_hands(proxy, bench.seconds, cpus),
        },
    )


def measure_streams(bench: Bench) -> list[dict]:
    def load(connections: int, streams: int) -> Load:
        path = index_of("index-2k")
        return lambda proxy, cpus: hammer_streams(
            proxy, path(proxy), connections, streams, bench.seconds, cpus
        )

    titled = {f"2 KB document, HTTP/2, {c} connections × {s}": load(c, s) for c, s in MULTIPLEXED}
    return rows(bench, titled)


def rows(bench: Bench, loads: dict[str, Load]) -> list[dict]:
    """What each load measures, of both proxies by turns; the document is held, and TLS is the same."""
    served, loading = bench.split_cpus()
    found = []
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        proxies: list[Server] = [
            running.enter_context(start(origin, served, certificate=bench.certificate))
            for start in (bench.nginx, bench.scriptorium)
        ]
        agreed = {first_hit(proxy, bench.certificate) for proxy in proxies}
        if len(agreed) != 1:
            raise SystemExit(f"the proxies do not agree on TLS: {agreed}")
        asked = origin.requests()
        for title, load in loads.items():
            results = take_turns(proxies, bench.rounds, lambda proxy, load=load: load(proxy, loading))
            rounds = {proxy.name: [*map(asdict, rates)] for proxy, rates in zip(proxies, results)}
            found.append({"title": title, "by_bytes": False, "rounds": rounds})
        if origin.requests() != asked:
            raise SystemExit("tls: not every request was a hit, the origin was asked again")
    return found


def first_hit(proxy: Server, certificate: Certificate) -> tuple:
    """Brings the document into the cache, and says which version and cipher proxy and client agreed on."""
    trust = ssl.create_default_context(cafile=str(certificate.file))
    connection = HTTPSConnection("127.0.0.1", proxy.port, timeout=60, context=trust)
    connection.request("GET", index_of("index-2k")(proxy))
    answer = connection.getresponse()
    if answer.status != 200 or not answer.read():
        raise SystemExit(f"{proxy.name}: {answer.status} over TLS")
    agreed = connection.sock.cipher()
    connection.close()
    return agreed


def shake_hands(proxy: Server, seconds: float, cpus: set[int]) -> Rate:
    """Full handshakes, none resumed, as `openssl s_time` makes them; it closes when each is done."""
    command = ["openssl", "s_time", "-new", "-time", f"{seconds:g}", "-connect", f"127.0.0.1:{proxy.port}"]
    before, started = proxy.cpu_seconds(), time.monotonic()
    shakers = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        for _ in range(HANDSHAKERS)
    ]
    made = [re.search(r"(\d+) connections in \d+ real", shaker.communicate()[0]) for shaker in shakers]
    took, cpu = time.monotonic() - started, proxy.cpu_seconds() - before
    if any(shaker.returncode for shaker in shakers) or not all(made):
        raise SystemExit(f"{proxy.name}: a handshake failed")
    handshakes = sum(int(each[1]) for each in made if each)
    return Rate(handshakes, handshakes / took, 0, cpu / handshakes, 0, 0)


def table(found: list[dict]) -> Iterator[str]:
    yield from side_by_side("over TLS", found, "nginx", "nginx")
