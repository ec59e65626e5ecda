"""An approval desk: takes requests with 202, thinks for a moment, then answers by the callback.

    python3 desk.py PORT http://127.0.0.1:8484

A real desk would show the request to a person and keep the path of its callback until that person has decided.
"""

import http.server
import json
import sys
import threading
import urllib.request

PORT, SERVER = int(sys.argv[1]), sys.argv[2].rstrip("/")


def answer(path, claim):
    approved = claim["amount"] <= 500
    body = json.dumps({"approved": approved, "by": "desk"}).encode()
    request = urllib.request.Request(f"{SERVER}{path}/complete", data=body, method="POST")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request) as reply:
        print(claim["expense"], "approved" if approved else "refused", reply.status, flush=True)


class Desk(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        claim = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.headers["tidemill-callback"]
        self.send_response(202)
        self.send_header("tidemill-callback", "accepted")
        self.send_header("content-length", "0")
        self.end_headers()
        threading.Timer(0.5, answer, (path, claim)).start()


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Desk).serve_forever()
