#!/usr/bin/env python3
"""An app behind wxsidecar, with Python's standard library alone: it receives authorization
events, and answers what users write. main.go is the same in Go.

    WEBHOOK_SECRET=... python3 app.py 127.0.0.1:3000

with, in the sidecar's configuration,

    events: [{url: "http://127.0.0.1:3000/wx", format: json, secret: ...}]
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET") or sys.exit("set WEBHOOK_SECRET to the secret of the entry in events")
KEY = base64.b64decode(SECRET[6:]) if SECRET.startswith("whsec_") else SECRET.encode()
MAX_BODY = 1 << 20
done = set()  # the ids of events that were handled; yours belong in your database


def verified(headers, body):
    """Checks the signature, by https://www.standardwebhooks.com."""
    timestamp = headers.get("Webhook-Timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False
    signed = f"{headers.get('Webhook-Id', '')}.{timestamp}.".encode() + body
    want = b"v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest())
    given = headers.get("Webhook-Signature", "").encode().split()
    return any(hmac.compare_digest(want, g) for g in given)


def event(event_id, info_type, push):
    """Handles an authorization event. It may come more than once, always with the same id."""
    if event_id not in done:
        print(info_type, push.get("AuthorizerAppid", ""), flush=True)
        done.add(event_id)


def reply(push):
    """Returns the passive reply to a message; None for none: the user sees nothing."""
    if push.get("MsgType") != "text":
        return None
    return {
        "ToUserName": push["FromUserName"],
        "FromUserName": push["ToUserName"],
        "CreateTime": int(time.time()),
        "MsgType": "text",
        "Content": "You wrote: " + push["Content"],
    }


class App(BaseHTTPRequestHandler):
    """Takes what the sidecar delivers. A status of 2xx says that it arrived; an event comes
    again after any other, a message does not."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 <= length <= MAX_BODY:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(length)
        if not verified(self.headers, body):
            return self.answer(401)
        push = json.loads(body)
        info_type = self.headers.get("X-Wechat-Info-Type")
        if info_type:
            event(self.headers["Webhook-Id"], info_type, push)
            return self.answer(200)
        message = reply(push)
        return self.answer(200, json.dumps(message).encode() if message else b"")

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Says nothing: what is printed is what the app did."""


if __name__ == "__main__":
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:3000").rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), App)
    print("listening on", "%s:%d" % server.server_address, flush=True)
    server.serve_forever()
