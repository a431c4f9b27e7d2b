"""A bucket server for the tests: moto (https://github.com/getmoto/moto), which keeps everything in memory.

Serves one request at a time, so that its conditional writes are atomic as those of real storage are. `/-/requests` says how
many it served before. Takes the port, 0 for a free one, prints it, and ends with its standard input, so that it never
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


def application(environ, start_response):
    global served
    if environ["PATH_INFO"] == "/-/requests":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(served).encode()]
    served += 1
    return moto(environ, start_response)


port = int(sys.argv[1])
server = make_server("127.0.0.1", port, application, threaded=False, request_handler=MotoRequestHandler)
print(server.server_port, flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
server.serve_forever()
