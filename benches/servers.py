"""The servers of a run: started on free loopback ports in folders of their own, and read through /proc."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from certificate import Certificate

HERE = Path(__file__).parent
CONF = HERE / "conf"
STARTS_WITHIN = 60.0
# How long the origin thinks before it answers for the archive that a crowd waits for.
DELAY_SECONDS = 0.050


class Server:
    """A child process that listens on `port`, with all its logs in `folder`."""

    scheme = "http"

    def __init__(
        self, name: str, folder: Path, template: str, command: list[str], cpus: set[int], **values
    ) -> None:
        self.name, self.folder, self.port, self._cpus = name, folder, free_port(), cpus
        folder.mkdir(parents=True, exist_ok=True)
        values |= {
            "PORT": self.port,
            "FOLDER": folder,
            "USER": "user root;" if os.geteuid() == 0 else "",
        }
        configuration = folder / template
        configuration.write_text(_fill((CONF / template).read_text(), values))
        self._command = [*(_fill(word, values) for word in command), str(configuration)]
        self.execute()
        self._wait_until_it_listens()

    def execute(self) -> None:
        """Starts the program and returns at once, perhaps before it listens."""
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=lambda: os.sched_setaffinity(0, self._cpus),
            )

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def processes(self) -> list[int]:
        """The program and all its children."""
        pids = [self.process.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        return pids

    def cpu_seconds(self) -> float:
        """User and system time of the process and its children so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        fields = [
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.processes()
        ]
        return sum(int(stat[11]) + int(stat[12]) for stat in fields) / ticks

    def peak_memory(self) -> int:
        """The most resident memory the processes ever had, in bytes."""
        return self._memory("VmHWM:")

    def memory(self) -> int:
        """The resident memory that the processes have now, in bytes."""
        return self._memory("VmRSS:")

    def _memory(self, field: str) -> int:
        lines = [
            line for pid in self.processes() for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        ]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

    def halt(self) -> None:
        """Ends the process and keeps its folder."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.process.kill()
        raise SystemExit(f"{self.name} did not start:\n{(self.folder / 'output.log').read_text()[-2000:]}")


class Delay(Server):
    """What makes the origin think: see delay.py."""

    def __init__(self, folder: Path, cpus: set[int]) -> None:
        command = [sys.executable, str(HERE / "delay.py")]
        super().__init__("delay", folder, "delay.json", command, cpus, SECONDS=DELAY_SECONDS)


class Origin(Server):
    """The bibliotheca, and what stands for other registries: nginx with files, `slow` ones after a while."""

    def __init__(self, folder: Path, root: Path, slow: str, cpus: set[int]) -> None:
        self.delay = Delay(folder / "delay", cpus)
        values = {"ROOT": root, "SLOW": slow, "DELAY": self.delay.port}
        try:
            super().__init__("origin", folder, "origin.conf", _nginx(folder), cpus, **values)
        except SystemExit:
            self.delay.stop()
            raise

    def requests(self, below: str = "/") -> int:
        """How many GET requests came for what lies below a path."""
        return (self.folder / "requests.log").read_text().count(f'"GET {below}')

    def stop(self) -> None:
        self.delay.stop()
        super().stop()


class NginxCache(Server):
    """nginx with `proxy_cache`: tuned for this work, or as it comes."""

    # A log that is buffered, files that are kept open, and a queue of new connections for each worker.
    TUNED_LOG = "access_log access.log combined buffer=64k flush=1s; open_file_cache max=1000 inactive=1h;"
    TUNED_LISTEN = "reuseport"
    PLAIN_LOG = "access_log access.log;"

    def __init__(
        self,
        folder: Path,
        origin: Origin,
        threads: int,
        cpus: set[int],
        plain: bool,
        certificate: Certificate | None = None,
    ) -> None:
        values = {"ORIGIN": origin.port, "THREADS": threads, "CERTIFICATE": ""}
        values["LOG"], values["LISTEN"] = (
            (self.PLAIN_LOG, "") if plain else (self.TUNED_LOG, self.TUNED_LISTEN)
        )
        if certificate:
            self.scheme = "https"
            values["LISTEN"] += " ssl http2"
            values["CERTIFICATE"] = (
                f"ssl_certificate {certificate.file}; ssl_certificate_key {certificate.key};"
            )
        super().__init__("nginx", folder, "cache.conf", _nginx(folder), cpus, **values)

    @staticmethod
    def archive_path(name: str, version: str) -> str:
        return f"/cdn/{name}/{version}.tar.gz"


class Scriptorium(Server):
    """The proxy that is measured."""

    def __init__(
        self,
        folder: Path,
        origin: Origin,
        threads: int,
        cpus: set[int],
        binary: Path,
        certificate: Certificate | None = None,
        mirrors: dict[str, list[str]] | None = None,
        storage: str = "",
        cluster: str = "",
        git_host: str = "",
    ) -> None:
        self.admin = free_port()
        values = {"ORIGIN": origin.port, "THREADS": threads, "ADMIN": self.admin, "CLUSTER": cluster}
        values["GIT"] = f'git_hosts = ["{git_host}"]' if git_host else ""
        tier = f'tier = "{folder / "data"}"'
        values["STORAGE"] = f'url = "{storage}"\n{tier}' if storage else f'url = "file://{folder / "data"}"'
        values["TLS"] = ""
        values["MIRRORS"] = "".join(
            f'[[mirrors]]\nname = "{name}"\nroots = {json.dumps(roots)}\nclosure = "none"\ntrust = false\n'
            for name, roots in (mirrors or {}).items()
        )
        if certificate:
            self.scheme = "https"
            values["TLS"] = f'tls = {{ cert = "{certificate.file}", key = "{certificate.key}" }}'
        command = [str(binary), "serve", "--config"]
        super().__init__("scriptorium", folder, "scriptorium.toml", command, cpus, **values)

    @staticmethod
    def archive_path(name: str, version: str) -> str:
        return f"/archives/{name}/{version}.tar.gz"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _nginx(folder: Path) -> list[str]:
    return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-g", "daemon off;", "-c"]


def _fill(template: str, values: dict) -> str:
    for name, value in values.items():
        template = template.replace(f"@{name}@", str(value))
    return template
