"""A private package index (PEP 503) with one package, behind HTTP Basic authentication.

The token is read from the file named by the only argument, at every request: until the file is there, and whenever
the token is wrong, the answer is 401. The file belongs on a tmpfs; nothing here prints it.
"""

import base64
import hashlib
import hmac
import io
import sys
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME, VERSION, PORT = "shop-greeting", "1.0.0", 8080
MODULE = NAME.replace("-", "_")
WHEEL = f"{MODULE}-{VERSION}-py3-none-any.whl"


def wheel(source):
    """Packs the module in folder `source` as a wheel."""
    information = f"{MODULE}-{VERSION}.dist-info"
    files = {f"{MODULE}/{path.name}": path.read_bytes() for path in sorted(source.glob("*.py"))}
    files[f"{information}/METADATA"] = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n".encode()
    files[f"{information}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: index\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},{checksum(content)},{len(content)}\n" for name, content in files.items())
    files[f"{information}/RECORD"] = (record + f"{information}/RECORD,,\n").encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name), content)
    return archive.getvalue()


def checksum(content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"


class Index(BaseHTTPRequestHandler):
    """Serves the list of one package and its wheel."""

    token_file = Path()
    pages = {}

    def do_GET(self):
        if not self.authorised():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private index"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        kind, body = self.pages.get(self.path, (None, b"not found\n"))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def authorised(self):
        try:
            token = self.token_file.read_bytes().strip()
        except FileNotFoundError:
            return False
        scheme, _, word = self.headers.get("Authorization", "").partition(" ")
        expected = base64.b64encode(b"build:" + token)
        return bool(token) and scheme == "Basic" and hmac.compare_digest(word.encode(), expected)


def main():
    package = wheel(Path(__file__).parent / MODULE)
    digest = hashlib.sha256(package).hexdigest()
    Index.token_file = Path(sys.argv[1])
    Index.pages = {
        f"/simple/{NAME}/": ("text/html", f'<!doctype html><a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a>'.encode()),
        f"/files/{WHEEL}": ("application/zip", package),
    }
    ThreadingHTTPServer(("", PORT), Index).serve_forever()


if __name__ == "__main__":
    main()
