#!/usr/bin/env python3
"""Delays each request. The nginx in front of it supplies the content of the response."""

import asyncio
import json
import sys
from pathlib import Path


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Answers one request for each connection, as nginx sends them."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1]
        await asyncio.sleep(seconds)
        writer.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: application/gzip\r\n"
            b"X-Accel-Redirect: /at-rest" + path + b"\r\n\r\n"
        )
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        # A client that only checked whether the port is open.
        pass
    finally:
        writer.close()


async def serve(port: int, seconds: float) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: answer(reader, writer, seconds), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(serve(settings["port"], settings["seconds"]))
