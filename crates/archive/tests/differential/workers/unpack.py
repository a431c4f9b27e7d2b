"""Unpacks with Python's tarfile, one archive after another.

A line of standard input is `mode TAB archive TAB folder`; the answer is a line, `ok` or what went wrong.
"""

import sys
import tarfile

MODES = {
    "whole": ("r:gz", {}, {}),
    "stream": ("r|gz", {}, {}),
    "any": ("r:*", {}, {}),
    "strict": ("r:gz", {"errorlevel": 2}, {}),
    "lenient": ("r:gz", {"errorlevel": 0}, {}),
    "zeros": ("r:gz", {"ignore_zeros": True}, {}),
    "ascii": ("r:gz", {"encoding": "ascii", "errors": "surrogateescape"}, {}),
    "data": ("r:gz", {}, {"filter": "data"}),
    "data-stream": ("r|gz", {}, {"filter": "data"}),
    "tar": ("r:gz", {}, {"filter": "tar"}),
    "trusted": ("r:gz", {}, {"filter": "fully_trusted"}),
}


def unpack(mode, archive, folder):
    how, reading, unpacking = MODES[mode]
    with tarfile.open(archive, how, **reading) as tar:
        tar.extractall(folder, **unpacking)


def members(archive, folder):
    """Member by member, as tools do that look at each name before they write it."""
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            tar.extract(member, folder)


for line in sys.stdin:
    mode, archive, folder = line.rstrip("\n").split("\t")
    try:
        members(archive, folder) if mode == "members" else unpack(mode, archive, folder)
        answer = "ok"
    except Exception as error:
        answer = " ".join(repr(error).split())
    print(answer.encode("ascii", "backslashreplace").decode(), flush=True)
