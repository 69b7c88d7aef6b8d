"""A private package index (PEP 503) of the wheels in one folder, behind HTTP Basic authentication.

The token is read from the file named by the first argument, at every request: a request without it is answered 401. The
second argument is the folder. Nothing here prints the token.
"""

import base64
import hmac
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8080


def project(file):
    """The name of a wheel's project, as indexes spell it."""
    return re.sub(r"[-_.]+", "-", file.name.split("-")[0]).lower()


class Index(BaseHTTPRequestHandler):
    """Serves a page for each project, and the files."""

    def do_GET(self):
        token, folder = Path(sys.argv[1]), Path(sys.argv[2])
        if not self.authorised(token):
            self.answer(401, b"", ("WWW-Authenticate", 'Basic realm="private index"'))
            return
        kind, _, name = self.path.strip("/").partition("/")
        files = sorted(folder.glob("*.whl"))
        if kind == "simple":
            links = "".join(f'<a href="/files/{file.name}">{file.name}</a>' for file in files if project(file) == name)
            self.answer(200 if links else 404, f"<!doctype html>{links}".encode(), ("Content-Type", "text/html"))
            return
        found = [file for file in files if kind == "files" and file.name == name]
        self.answer(200 if found else 404, found[0].read_bytes() if found else b"")

    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def authorised(self, file):
        token = file.read_bytes().strip() if file.exists() else b""
        scheme, _, word = self.headers.get("Authorization", "").partition(" ")
        return bool(token) and scheme == "Basic" and hmac.compare_digest(word.encode(), base64.b64encode(b"build:" + token))


ThreadingHTTPServer(("", PORT), Index).serve_forever()
