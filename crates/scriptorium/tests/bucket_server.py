"""A bucket server for the tests: moto (https://github.com/getmoto/moto), which keeps everything in memory.

Serves one request at a time, so that its conditional writes are atomic as those of real storage are. Takes the port,
0 for a free one, prints it, and ends with its standard input, so that it never outlives the tests that started it.
"""

import os
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server


def end_with_input():
    sys.stdin.read()
    os._exit(0)


port = int(sys.argv[1])
application = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", port, application, threaded=False, request_handler=MotoRequestHandler)
print(server.server_port, flush=True)
threading.Thread(target=end_with_input, daemon=True).start()
server.serve_forever()
