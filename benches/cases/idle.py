"""Memory: of a proxy that has nothing to do, and of connections that ask for nothing more."""

from collections.abc import Iterator

from bench import MEGABYTE, Bench
from load import entity_tag, kept_alive

from cases.hits import index_of

IDLE = 10_000


def measure(bench: Bench) -> dict:
    """What connections cost that were answered once, a cached 2 KB document, and are kept alive."""
    result = {}
    with bench.origin(bench.all_cpus) as origin:
        for start in (bench.nginx, bench.scriptorium):
            with start(origin, bench.all_cpus) as proxy:
                path = index_of("index-2k")(proxy)
                entity_tag(proxy, path)
                started = proxy.memory()
                with kept_alive(proxy, path, clients=IDLE):
                    result[proxy.name] = {"at_start_bytes": started, "bytes": proxy.memory()}
    return result


def rows(found: dict) -> Iterator[str]:
    for name, figures in found.items():
        yield f"| idle memory, {name} | **{figures['at_start_bytes'] / MEGABYTE:.0f} MB** |"
    for name, figures in found.items():
        each = (figures["bytes"] - figures["at_start_bytes"]) / IDLE / 1024
        measured = f"**{figures['bytes'] / MEGABYTE:.0f} MB**, {each:.1f} KiB each"
        yield f"| {IDLE:,} idle connections, {name} | {measured} |"
