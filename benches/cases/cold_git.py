"""A cold archive of a release that Git delivers, beside what a person would do: clone its commit and pack it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from statistics import median

from bench import MEGABYTE, Bench
from bibliotheca import Plan, VERSION, tree_of, write_git_release
from githost import TAG, git_host, make_repository
from load import download
from rounds import ratio

SIZE = 16 * MEGABYTE


def measure(bench: Bench) -> dict:
    """The first request for the archive, with an empty cache each time, in turns with a clone and its packing."""
    plan, folder = Plan("git-16m", SIZE), bench.new_folder("git")
    folder.mkdir(parents=True)
    make_repository(folder, plan.name, tree_of(plan))
    times: dict[str, list[float]] = {"clone": [], "tar and gzip": [], "scriptorium": []}
    with git_host(folder) as host, bench.origin(bench.all_cpus) as origin:
        repository = f"http://{host}/{plan.name}.git"
        write_git_release(bench.root, origin.url(""), plan, repository, TAG)
        for _ in range(bench.rounds):
            into = folder / "clone"
            times["clone"].append(timed("git", "clone", "-q", "--depth", "1", "--branch", TAG, repository, str(into)))
            pack = f"tar --exclude=.git -C {into} -cf - . | gzip -6 > {folder}/packed.tar.gz"
            times["tar and gzip"].append(timed("sh", "-c", pack))
            shutil.rmtree(into)
            with bench.scriptorium(origin, bench.all_cpus, git_host=host) as proxy:
                times["scriptorium"].append(download(proxy.url(proxy.archive_path(plan.name, VERSION)))[0])
    return {"rounds": times}


def timed(*command: str) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def row(found: dict) -> Iterator[str]:
    rounds = found["rounds"]
    parts = ", ".join(f"{what} {median(seconds):.2f} s" for what, seconds in rounds.items())
    bound = [sum(pair) for pair in zip(rounds["clone"], rounds["tar and gzip"])]
    yield f"| 16 MB archive from Git | {ratio(rounds['scriptorium'], bound)} × clone of depth 1, tar and gzip ({parts}) |"
