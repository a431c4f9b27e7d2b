#!/usr/bin/env python3
"""Measures Scriptorium beside nginx, Varnish and others, in the same run, on this machine. See README.md."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

from bench import Bench
from cases import (
    cluster,
    cold,
    cold_documents,
    cold_git,
    crowd,
    half_rate,
    hits,
    idle,
    limits,
    side,
    spread,
    start,
    syncing,
    threads,
    tls,
)
from cases.hits import HITS

ROOT = Path(__file__).resolve().parent.parent


def parts(bench: Bench) -> dict[str, Callable[[], object]]:
    """How to measure each case that is no hit, in the order of the tables."""
    return {
        "cold": lambda: cold.measure(bench, bench.archives["archive-64m"]),
        "order": lambda: cold.measure(bench, bench.archives["archive-64m-shuffled"]),
        "cold-git": lambda: cold_git.measure(bench),
        "memory": lambda: cold.measure_memory(bench),
        "idle": lambda: idle.measure(bench),
        "start": lambda: start.measure(bench),
        "crowd": lambda: crowd.measure(bench),
        "cold-documents": lambda: cold_documents.measure(bench),
        "threads": lambda: threads.measure(bench),
        "spread": lambda: spread.measure(bench),
        "half-rate": lambda: half_rate.measure(bench),
        "tls": lambda: tls.measure(bench),
        "h2": lambda: tls.measure_streams(bench),
        "side": lambda: side.measure(bench),
        "limits": lambda: limits.measure(bench),
        "syncing": lambda: syncing.measure(bench),
        "cluster": lambda: cluster.measure(bench),
    }


OTHERS = ["cold", "order", "cold-git", "memory", "idle", "start", "crowd"]
OTHERS += ["cold-documents", "threads", "spread", "half-rate", "tls", "h2", "side", "limits", "syncing", "cluster"]
# The rows of one table; the others have tables of their own.
ROWS: dict[str, Callable[[dict], Iterator[str]]] = {
    "cold": lambda found: cold.row(found, "in path order"),
    "order": lambda found: cold.row(found, "shuffled"),
    "cold-git": cold_git.row,
    "memory": cold.memory_row,
    "idle": idle.rows,
    "start": start.rows,
    "crowd": crowd.rows,
}
TABLES: dict[str, Callable[[dict], Iterator[str]]] = {
    "cold-documents": cold_documents.table,
    "threads": threads.table,
    "spread": spread.table,
    "half-rate": half_rate.table,
    "tls": tls.table,
    "h2": tls.table,
    "side": side.table,
    "limits": limits.table,
    "syncing": syncing.table,
    "cluster": cluster.table,
}


def show(chosen: list[str], measure: dict[str, Callable[[], object]], results: dict) -> None:
    """Measures and prints case by case, so that a run that breaks off has not been in vain."""
    if any(case in ROWS for case in chosen):
        print("| cold, crowded and idle | measured |\n|---|---|", flush=True)
    for case in OTHERS:
        if case in chosen:
            results[case] = measure[case]()
            if lines := [*{**ROWS, **TABLES}[case](results[case])]:
                print(*([""] if case in TABLES else []), *lines, sep="\n", flush=True)


def arguments() -> argparse.Namespace:
    names = [case.name for case in HITS] + OTHERS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 s: a glance, no result")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}"
    )
    parser.add_argument("--threads", type=int, default=1, help="worker threads of a proxy (default 1)")
    parser.add_argument("--plain", action="store_true", help="nginx as it comes and not tuned")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round there")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/scriptorium")
    parser.add_argument(
        "--data", type=Path, default=ROOT / "target/bench", help="where generated archives are kept"
    )
    parsed = parser.parse_args()
    parsed.only = parsed.only or names
    parsed.binary, parsed.data = parsed.binary.resolve(), parsed.data.resolve()
    return parsed


def check_tools(binary: Path) -> None:
    missing = [tool for tool in ("nginx", "wrk", "h2load", "openssl") if not shutil.which(tool)]
    if missing:
        needed = "apt-get install nginx-light wrk nghttp2-client openssl"
        sys.exit(f"{' and '.join(missing)} not found; on Debian: {needed}")
    if not binary.exists():
        sys.exit(f"{binary} not found; build it with: cargo build --release")


def forget_proxies() -> None:
    """Everything here is on loopback; a proxy of the environment would be what is measured."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]


def main() -> None:
    chosen = arguments()
    check_tools(chosen.binary)
    forget_proxies()
    setrlimit(RLIMIT_NOFILE, (getrlimit(RLIMIT_NOFILE)[1],) * 2)
    results: dict = {}
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder:
        bench = Bench(chosen, Path(folder))
        results["conditions"] = bench.conditions()
        print(results["conditions"], end="\n\n", flush=True)
        if cases := [case for case in HITS if case.name in chosen.only]:
            results["hits"] = hits.measure(bench, cases)
            print("\n".join(hits.table(results["hits"])), flush=True)
        show(chosen.only, parts(bench), results)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
