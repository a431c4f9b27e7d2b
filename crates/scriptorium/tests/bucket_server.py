"""A bucket server for the tests: moto (https://github.com/getmoto/moto), which keeps everything in memory.

Serves one request at a time, so that its conditional writes are atomic as those of real storage are. `/-/requests` says how
many it served before; after `/-/stall` it sends of the next object only the first byte, and hangs. Takes the port, 0 for a free one, prints it, and ends with its standard input, so that it never
outlives the tests that started it.
"""

import os
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def end_with_input():
    sys.stdin.read()
    os._exit(0)


moto = DomainDispatcherApplication(create_backend_app)
served = 0
stalls = False


def stalled(body):
    yield b"".join(body)[:1]
    threading.Event().wait()


def application(environ, start_response):
    global served, stalls
    if environ["PATH_INFO"] == "/-/stall":
        stalls = True
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]
    if environ["PATH_INFO"] == "/-/requests":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(served).encode()]
    served += 1
    answer = moto(environ, start_response)
    is_object = environ["REQUEST_METHOD"] == "GET" and "list-type" not in environ["QUERY_STRING"]
    return stalled(answer) if stalls and is_object else answer


port = int(sys.argv[1])
server = make_server("127.0.0.1", port, application, threaded=False, request_handler=MotoRequestHandler)
print(server.server_port, flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
server.serve_forever()
