"""A crowd: five hundred clients at once on one cold archive, and how many of them the origin hears."""

import sys
from collections.abc import Callable, Iterator

from bench import CROWD, Bench
from bibliotheca import VERSION
from load import crowd
from peers.peer import Absent
from peers.varnish import Varnish
from rounds import ratio, spread, take_turns
from servers import NginxCache, Origin, Server

CLIENTS = 500


def measure(bench: Bench) -> dict:
    """An empty cache each time; the origin thinks for a while before it sends the archive."""
    with bench.origin(bench.all_cpus) as origin:
        starts = [bench.nginx, bench.scriptorium]
        try:
            Varnish.program()
            starts.append(bench.varnish)
        except Absent as why:
            print(f"({why})", file=sys.stderr)
        asked = NginxCache.archive_path(CROWD, VERSION)

        def one_round(start: Callable[[Origin, set[int]], Server]) -> dict:
            with start(origin, bench.all_cpus) as proxy:
                found = gather(bench, origin, proxy, proxy.archive_path(CROWD, VERSION), asked)
                if found["served"] < CLIENTS:
                    sys.exit(f"{proxy.name}: only {found['served']} of {CLIENTS} clients got the archive")
                return found

        results = take_turns(starts, bench.rounds, one_round)
    return {start.__name__: rounds for start, rounds in zip(starts, results)}


def gather(bench: Bench, origin: Origin, proxy: Server, path: str, asked: str) -> dict:
    """One crowd: when it was served, and how often the origin was asked for `asked`."""
    before = origin.requests(asked)
    seconds, served = crowd(proxy, path, CLIENTS, bench.archives[CROWD].size)
    # The origin writes its log when an answer ends: whatever the proxy still reads ends with the proxy.
    proxy.halt()
    requests = origin.requests(asked) - before
    return {"last_byte_seconds": seconds, "upstream_requests": requests, "served": served}


def rows(found: dict) -> Iterator[str]:
    for name, rounds in found.items():
        yield f"| {CLIENTS} clients, cold 1 MB archive, {name} | {figures(rounds)} |"
    if "varnish" in found:
        ours, theirs = (
            [each["last_byte_seconds"] for each in found[name]] for name in ("scriptorium", "varnish")
        )
        yield f"| last byte, Scriptorium ÷ Varnish | {ratio(ours, theirs)} |"


def figures(rounds: list[dict]) -> str:
    asked = sorted({each["upstream_requests"] for each in rounds})
    most = f"{asked[0]}" if len(asked) == 1 else f"{asked[0]}–{asked[-1]}"
    last = spread([each["last_byte_seconds"] for each in rounds])
    fewest = min(each["served"] for each in rounds)
    note = "" if fewest == CLIENTS else f"; in one round only {fewest} clients got all of it"
    return f"**{most}** upstream request{'s' if asked[-1] != 1 else ''}, last byte after {last} s{note}"
