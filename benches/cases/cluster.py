"""Cluster: hits of a 2 KB document at one of two proxies on a bucket, which agree through a Redis or do not."""

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median

from bench import Bench
from load import Rate, entity_tag, hammer
from rounds import ratio, take_turns
from servers import Scriptorium
from shared import bucket, engine

from cases.hits import index_of

BUCKET = "volumes"
CONNECTIONS = 64
PROXIES = 2
TOGETHER_WITHIN = 20.0


def measure(bench: Bench) -> dict:
    served, loading = bench.split_cpus()
    path = index_of("index-2k")
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        running.enter_context(bucket(BUCKET))
        url = running.enter_context(engine(bench.new_folder("redis")))
        cluster = f'[cluster]\nurl = "{url}"\nnodes = {PROXIES}\n'

        def proxies(prefix: str, cluster: str) -> list[Scriptorium]:
            storage = f"s3://{BUCKET}/{prefix}"
            return [
                running.enter_context(bench.scriptorium(origin, served, storage=storage, cluster=cluster))
                for _ in range(PROXIES)
            ]

        without, together = proxies("without", ""), proxies("together", cluster)
        for proxy in together:
            wait_until_together(proxy)
        for proxy in without + together:
            entity_tag(proxy, path(proxy))
        asked = origin.requests()

        def one_round(proxy: Scriptorium) -> Rate:
            return hammer(proxy, path(proxy), CONNECTIONS, bench.seconds, loading, {})

        results = take_turns([without[0], together[0]], bench.rounds, one_round)
        for proxy in together:
            wait_until_together(proxy)
        if origin.requests() != asked:
            sys.exit("cluster: not every request was a hit, the origin was asked again")
    return {name: [*map(asdict, rates)] for name, rates in zip(("without", "together"), results)}


def wait_until_together(proxy: Scriptorium) -> None:
    deadline = time.monotonic() + TOGETHER_WITHIN
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin}/admin/v1/status") as answer:
            if json.load(answer)["cluster"] == {"state": "together", "nodes": PROXIES}:
                return
        time.sleep(0.1)
    sys.exit("cluster: the proxies do not find each other")


def table(found: dict) -> Iterator[str]:
    yield "| 2 KB document, two proxies on one bucket | without a cluster | with one | ratio |"
    yield "|---|--:|--:|--:|"
    for title, field, scale, form in (
        ("rate", "per_second", 1, "{:,.0f} req/s"),
        ("CPU time", "cpu_per_request", 1e6, "{:.1f} µs"),
        ("p99", "p99_ms", 1, "{:.2f} ms"),
    ):
        without, together = ([each[field] for each in found[name]] for name in ("without", "together"))
        cells = [form.format(median(figures) * scale) for figures in (without, together)]
        yield f"| {title} | {' | '.join(cells)} | {ratio(together, without)} |"
