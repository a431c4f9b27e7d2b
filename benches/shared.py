"""What several proxies share: a bucket, by the S3 server of the tests, and a Redis."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import free_port

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN = 20.0
# The server does not look at signatures, only whether there is one.
SIGNED = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@contextmanager
def bucket(name: str) -> Iterator[None]:
    """An empty bucket, which programs that are started meanwhile find by their environment."""
    moto = os.environ.get("SCRIPTORIUM_MOTO", str(ROOT / "target/tools/moto"))
    command = [sys.executable, str(ROOT / "crates/scriptorium/tests/bucket_server.py"), "0"]
    environment = os.environ | {"PYTHONPATH": moto}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as server:
        try:
            if not (port := server.stdout.readline().strip()):
                sys.exit(f"moto is not in {moto}; `.ci/run` installs it, and SCRIPTORIUM_MOTO names another place")
            url = f"http://127.0.0.1:{port}"
            made = urllib.request.Request(f"{url}/{name}", method="PUT", headers={"Authorization": SIGNED})
            urllib.request.urlopen(made).close()
            values = {
                "AWS_ENDPOINT_URL": url,
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
            }
            os.environ.update(values)
            yield
        finally:
            server.kill()


@contextmanager
def engine(folder: Path) -> Iterator[str]:
    """An empty Redis, which keeps nothing. Yields its URL."""
    port = free_port()
    folder.mkdir(parents=True)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    log = (folder / "output.log").open("ab")
    try:
        server = subprocess.Popen(["redis-server", *options], cwd=folder, stdout=log, stderr=log)
    except FileNotFoundError:
        sys.exit("redis-server not found; on Debian: apt-get install redis-server")
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while "Ready to accept connections" not in (folder / "output.log").read_text():
            if server.poll() is not None or time.monotonic() > deadline:
                sys.exit("redis-server did not start")
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()
