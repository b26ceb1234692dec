"""Receives Hedgerow's webhooks and checks who sent them: ``python examples/receive_webhook.py PORT``, with WEBHOOK_SECRET set."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

TOLERANCE_S = 300
SECRET = os.environ["WEBHOOK_SECRET"]
KEY = base64.b64decode(SECRET.removeprefix("whsec_")) if SECRET.startswith("whsec_") else SECRET.encode()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to a message that is signed and new, 401 to any other."""

    def do_POST(self) -> None:
        """Check one message and print its type and data."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self._is_ours(body):
            self.send_response(401)
        else:
            message = json.loads(body)
            print(message["type"], json.dumps(message["data"]), flush=True)
            self.send_response(204)
        self.end_headers()

    def _is_ours(self, body: bytes) -> bool:
        sent_at = self.headers.get("webhook-timestamp") or "0"
        if not sent_at.isdigit() or abs(time.time() - int(sent_at)) > TOLERANCE_S:
            return False
        signed = f"{self.headers.get('webhook-id')}.{sent_at}.".encode() + body
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        # Several signatures, divided by spaces, while a secret is changed.
        given = (self.headers.get("webhook-signature") or "").split()
        return any(hmac.compare_digest(each, f"v1,{expected}") for each in given)


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
