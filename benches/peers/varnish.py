"""Varnish, which is measured in every hit and in the crowd: it caches the same objects as nginx."""

from pathlib import Path

from servers import Origin, Server

from peers.peer import find


class Varnish(Server):
    """Varnish with bodies in memory, and enough threads that no client of a crowd waits for one."""

    OPTIONS = ("thread_pools=@THREADS@", "thread_pool_min=1000", "listen_depth=4096")

    def __init__(self, folder: Path, origin: Origin, threads: int, cpus: set[int]) -> None:
        command = [self.program(), "-j", "none", "-F", "-n", "@FOLDER@/work", "-a", "127.0.0.1:@PORT@"]
        command += ["-s", "malloc,2g", *(word for option in self.OPTIONS for word in ("-p", option)), "-f"]
        values = {"ORIGIN": origin.port, "THREADS": threads}
        super().__init__("varnish", folder, "varnish.vcl", command, cpus, **values)

    @staticmethod
    def program() -> str:
        return find("varnishd", "apt-get install varnish")

    @staticmethod
    def archive_path(name: str, version: str) -> str:
        return f"/cdn/{name}/{version}.tar.gz"
