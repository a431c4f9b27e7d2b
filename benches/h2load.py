"""Load by h2load: over HTTP/2 for a while, or so many requests over HTTP/1.1."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from load import Rate
from servers import Server


def hammer_streams(
    server: Server, path: str, connections: int, streams: int, seconds: float, cpus: set[int]
) -> Rate:
    """HTTP/2, so many requests under way on each connection; any that fails ends the run."""
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder:
        answers, before = Path(folder) / "answers", server.cpu_seconds()
        options = [f"-c{connections}", f"-m{streams}", f"-D{seconds:g}", f"--log-file={answers}"]
        said = _run(server, path, options, min(len(cpus), connections), cpus)
        cpu = server.cpu_seconds() - before
        times = sorted(int(line.split("\t")[2]) for line in answers.open())
    if "Application protocol: h2\n" not in said:
        raise SystemExit(f"{server.name} {path}: no HTTP/2\n{said}")
    requests, moved = _count(said, r"(\d+) succeeded"), _count(said, r"traffic: \S+ \((\d+)\) total")
    took = float(re.search(r"finished in ([\d.]+)s", said)[1])
    return Rate(
        requests=requests,
        per_second=requests / took,
        bytes_per_second=moved / took,
        cpu_per_request=cpu / requests,
        cpu_per_gigabyte=cpu / moved * 1e9,
        p99_ms=times[len(times) * 99 // 100] / 1000,
    )


def ask_evenly(server: Server, path: str, connections: int, requests: int, cpus: set[int]) -> None:
    """HTTP/1.1; each connection asks equally often, as fast as it gets answers."""
    requests -= requests % connections
    said = _run(server, path, ["--h1", f"-c{connections}", f"-n{requests}"], 1, cpus)
    if _count(said, r"(\d+) 2xx") != requests:
        raise SystemExit(f"{server.name} {path}: not all was answered\n{said}")


def _run(server: Server, path: str, options: list[str], threads: int, cpus: set[int]) -> str:
    run = subprocess.run(
        ["h2load", *options, f"-t{threads}", server.url(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    failed = [_count(run.stdout, rf"(\d+) {how}") for how in ("failed", "errored", "timeout", "4xx", "5xx")]
    if any(failed) or not _count(run.stdout, r"(\d+) succeeded"):
        raise SystemExit(f"{server.name} {path}: requests failed\n{run.stdout}")
    return run.stdout


def _count(said: str, pattern: str) -> int:
    if not (found := re.search(pattern, said)):
        raise SystemExit(f"h2load did not say {pattern}:\n{said}")
    return int(found[1])
