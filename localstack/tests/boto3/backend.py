"""A real backend at a pod's address, which load balancers reach."""

import contextlib
import http.server
import threading

POD = "127.0.0.1"


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers with status and body that `answer` gives."""

    protocol_version = "HTTP/1.1"

    def answer(self, _):
        return 200, f"pod saw {self.path}".encode()

    def do_GET(self):
        status, body = self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(handler=Backend):
    """The port at which it is served meanwhile."""
    server = http.server.ThreadingHTTPServer((POD, 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def guard(world):
    """The security group of the interface that holds the pod's address."""
    found = world.ec2.describe_network_interfaces(Filters=[{"Name": "addresses.private-ip-address", "Values": [POD]}])["NetworkInterfaces"]
    assert found, f"the cloud must have a pod network with {POD}"
    return found[0]["Groups"][0]["GroupId"]
