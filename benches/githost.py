"""A Git host: `git http-backend` behind a small server on loopback, and the repository of one archive's files."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

TAG = "v1.0.0"


def make_repository(folder: Path, name: str, files: Iterator[tuple[str, bool, bytes]]) -> Path:
    """A bare repository of one commit, with these files: path, whether it can be executed, bytes."""
    tree, bare = folder / f"{name}-tree", folder / f"{name}.git"
    for path, is_executable, body in files:
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        file.chmod(0o755 if is_executable else 0o644)
    git(tree, "init", "--quiet")
    git(tree, "add", "--all")
    git(tree, "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "--quiet", "--message=1")
    git(tree, "tag", TAG)
    git(folder, "clone", "--quiet", "--bare", str(tree), str(bare))
    return bare


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, env=os.environ | {"GIT_CONFIG_NOSYSTEM": "1"})


@contextmanager
def git_host(folder: Path) -> Iterator[str]:
    """Serves the repositories in `folder`; yields its host and port."""

    class Backend(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def answer(self, body: bytes) -> None:
            """Runs the program as a CGI script and passes on what it writes, as it comes."""
            url = urlsplit(self.path)
            environment = os.environ | {
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            command = ["git", "http-backend"]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            ) as backend:
                backend.stdin.write(body)
                backend.stdin.close()
                self.wfile.write(b"HTTP/1.0 200 OK\r\n")
                while piece := backend.stdout.read1(1 << 16):
                    self.wfile.write(piece)

        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
