"""The side field: caches of other registries, on a small document and before a crowd of their own."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from subprocess import CalledProcessError

from bench import CROWD, Bench
from load import Rate, get, hammer
from peers.devpi import Devpi
from peers.peer import Absent, Peer
from peers.registry import Registry
from peers.verdaccio import Verdaccio
from rounds import ratio, take_turns
from servers import Scriptorium

from cases.crowd import figures, gather
from cases.hits import index_of

PEERS: list[type[Peer]] = [Verdaccio, Devpi, Registry]
CONNECTIONS = 64
# Each crowd needs an empty cache, and some of these take seconds to start with one.
CROWDS = 3


def measure(bench: Bench) -> dict:
    """The small document by turns, Scriptorium's among them; then a crowd on each, several times."""
    peers = []
    for peer in PEERS:
        try:
            peer.program()
            peers.append(peer)
        except Absent as why:
            print(f"({why})", file=sys.stderr)
    if not peers:
        return {}
    try:
        result = {title: {"document": rates} for title, rates in documents(bench, peers).items()}
    except (SystemExit, OSError, CalledProcessError) as why:
        print(f"(side field left out: {why})", file=sys.stderr)
        return {}
    for peer in peers:
        result[peer.title]["crowd"] = crowds(bench, peer)
    return result


def documents(bench: Bench, peers: list[type[Peer]]) -> dict[str, list[dict]]:
    served, loading = bench.split_cpus()
    crowd = bench.archives[CROWD]
    with ExitStack() as running:
        origin = running.enter_context(bench.origin(loading))
        entrants: list[Peer | Scriptorium] = [running.enter_context(bench.scriptorium(origin, served))]
        for peer in peers:
            peer.publish(bench.root, origin, crowd)
            entrants.append(running.enter_context(peer(bench.new_folder("peer"), origin, crowd, served)))
        asks = {}
        for entrant in entrants:
            is_peer = isinstance(entrant, Peer)
            path = entrant.document_path() if is_peer else index_of("index-2k")(entrant)
            asks[entrant.name] = (path, entrant.headers if is_peer else {})
            size = len(get(entrant, *asks[entrant.name]))
            if not 1_000 < size < 4_000:
                sys.exit(f"{entrant.name} {path}: {size} bytes are no small document")
        asked = origin.requests()

        def one_round(entrant: Peer | Scriptorium) -> Rate:
            path, headers = asks[entrant.name]
            return hammer(entrant, path, CONNECTIONS, bench.seconds, loading, headers)

        results = take_turns(entrants, bench.rounds, one_round)
        if origin.requests() != asked:
            print(f"(side: {origin.requests() - asked} requests went on to the origin)", file=sys.stderr)
    titles = ["Scriptorium", *(peer.title for peer in peers)]
    return {title: [*map(asdict, rates)] for title, rates in zip(titles, results)}


def crowds(bench: Bench, peer: type[Peer]) -> list[dict] | str:
    """What each crowd saw; or what went wrong, since not every cache gets through this."""
    crowd, rounds = bench.archives[CROWD], []
    try:
        for _ in range(min(CROWDS, bench.rounds)):
            with bench.origin(bench.all_cpus) as origin:
                asked = peer.publish(bench.root, origin, crowd)
                with peer(bench.new_folder("peer"), origin, crowd, bench.all_cpus) as running:
                    rounds.append(gather(bench, origin, running, running.archive_path(crowd), asked))
    except (SystemExit, OSError, CalledProcessError) as why:
        return f"failed: {str(why).splitlines()[0]}"
    return rounds


def table(found: dict) -> Iterator[str]:
    if not found:
        return
    yield (
        "| side field | 2 KB document | CPU | Scriptorium's work per CPU second ÷ theirs | p99 "
        "| 500 clients, cold 1 MB archive |"
    )
    yield "|---|--:|--:|--:|--:|---|"
    ours = [each["cpu_per_request"] for each in found["Scriptorium"]["document"]]
    for title, peer in found.items():
        theirs = [each["cpu_per_request"] for each in peer["document"]]
        rate, p99 = (median(each[field] for each in peer["document"]) for field in ("per_second", "p99_ms"))
        crowd = peer.get("crowd", "see `crowd`")
        work = "" if title == "Scriptorium" else ratio(theirs, ours)
        yield (
            f"| {title} | {rate:,.0f} req/s | {median(theirs) * 1e6:,.0f} µs | {work} "
            f"| {p99:.1f} ms | {crowd if isinstance(crowd, str) else figures(crowd)} |"
        )
