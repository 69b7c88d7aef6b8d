"""A private server of every kind that builds install from: npm, Composer, pip, git over http and over ssh, and an API.

The token is read from the file named by the only argument, at every request: a request without it is answered 401.
It is taken as a Bearer token and as the password of whichever user. Nothing here prints it. The key that may clone
over ssh is the one in /run/private/authorized_keys.
"""

import base64
import hashlib
import hmac
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, REPOSITORIES = 8080, "/srv/git"
WHEEL = "private_greeting-1.0.0-py3-none-any.whl"


def tarball(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            # Readable for everybody, as what others pack is.
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o644 << 16
            archive.writestr(member, text)
    return packed.getvalue()


NPM = {"name": "@private/greeting", "version": "1.0.0", "main": "index.js"}
COMPOSER = {"name": "private/greeting", "version": "1.0.0", "type": "library", "autoload": {"files": ["greeting.php"]}}
INFORMATION = "private_greeting-1.0.0.dist-info"
NPM_FILE = tarball({"package/package.json": json.dumps(NPM), "package/index.js": "module.exports = 'hello from npm'\n"})
COMPOSER_FILE = zipped({
    "composer.json": json.dumps(COMPOSER),
    "greeting.php": "<?php\nfunction greeting() { return 'hello from composer'; }\n",
})
# Laravel itself is Debian's, in the image; what a project requires is a package that finds it there.
LARAVEL = {"name": "laravel/framework", "version": "8.83.26", "type": "library", "autoload": {"files": ["found.php"]}}
LARAVEL_FILE = zipped({
    "composer.json": json.dumps(LARAVEL),
    "found.php": "<?php\nrequire_once '/usr/share/php/Illuminate/autoload.php';\n",
})
PIP_FILE = zipped({
    "private_greeting.py": "TEXT = 'hello from pip'\n",
    f"{INFORMATION}/METADATA": "Metadata-Version: 2.1\nName: private-greeting\nVersion: 1.0.0\n",
    f"{INFORMATION}/WHEEL": "Wheel-Version: 1.0\nGenerator: server\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFORMATION}/RECORD": "",
})


def answers(host, token):
    """What a caller with the token is given, by path."""
    npm = {**NPM, "dist": {
        "tarball": f"http://{host}/npm/greeting-1.0.0.tgz",
        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(NPM_FILE).digest()).decode(),
    }}
    composer = {**COMPOSER, "dist": {"type": "zip", "url": f"http://{host}/composer/greeting.zip"}}
    laravel = {**LARAVEL, "dist": {"type": "zip", "url": f"http://{host}/composer/laravel.zip"}}
    return {
        "/npm/@private%2fgreeting":
            json.dumps({"name": NPM["name"], "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": npm}}),
        "/npm/greeting-1.0.0.tgz": NPM_FILE,
        "/composer/packages.json": json.dumps({
            "packages": {COMPOSER["name"]: {"1.0.0": composer}, LARAVEL["name"]: {LARAVEL["version"]: laravel}},
        }),
        "/composer/greeting.zip": COMPOSER_FILE,
        "/composer/laravel.zip": LARAVEL_FILE,
        "/simple/private-greeting/": f'<!doctype html><a href="/files/{WHEEL}">{WHEEL}</a>',
        f"/files/{WHEEL}": PIP_FILE,
        # Some answer with what they were asked.
        "/api/report": json.dumps({"request": {"authorization": f"Bearer {token}"}, "report": "hello from the api"}),
    }


class Server(BaseHTTPRequestHandler):
    """Every kind of server at one port."""

    token_file = Path()

    def do_GET(self):
        token = self.token_file.read_text().strip()
        if not self.authorised(token):
            self.answer(401, b"who are you?\n", [("WWW-Authenticate", 'Basic realm="private"')])
        elif self.path.startswith("/git/"):
            self.git()
        else:
            found = answers(self.headers["Host"], token).get(self.path.replace("%2F", "%2f"))
            kind = "text/html" if self.path.startswith("/simple/") else "application/octet-stream"
            body = found.encode() if isinstance(found, str) else found
            self.answer(200 if body else 404, body or b"not found\n", [("Content-Type", kind)])

    do_POST = do_GET

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def authorised(self, token):
        scheme, _, word = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            word = base64.b64decode(word).decode().partition(":")[2]
        return bool(token) and hmac.compare_digest(word, token)

    def git(self):
        """Git's own server, by CGI."""
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": REPOSITORIES,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path.removeprefix("/git"),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE, check=True)
        head, _, content = said.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(value[:3]) for name, value in headers if name == "Status"), 200)
        self.answer(status, content, [header for header in headers if header[0] != "Status"])


def git(folder, *words):
    identity = ["-c", "user.name=server", "-c", "user.email=server@localhost", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def repositories():
    """`lib`; `app` and `kit`, which have it as a submodule; `context` and `kit` can be built."""
    files = {
        "lib": {"greeting.txt": "hello from git\n"},
        "app": {"page.txt": "hello\n"},
        "kit": {
            "Dockerfile": "FROM busybox\nCOPY lib/greeting.txt /\nRUN test -n \"$TOKEN\"\n",
            "folder/Dockerfile": "FROM busybox\nCOPY . /context\nRUN test -n \"$TOKEN\"\n",
        },
        "context": {
            "Dockerfile": "FROM busybox\nCOPY folder/page.txt /whole.txt\nRUN test -n \"$TOKEN\"\n",
            "folder/Dockerfile": "FROM busybox\nCOPY page.txt /\nRUN test -n \"$TOKEN\"\n",
            "folder/page.txt": "hello from a folder\n",
        },
    }
    for name, contents in files.items():
        folder = Path(REPOSITORIES, f"{name}.git")
        folder.mkdir(parents=True)
        git(folder, "init", "--quiet", "--initial-branch", "main")
        for path, text in contents.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        if name in ("app", "kit"):
            git(folder, "remote", "add", "origin", str(folder))
            git(folder, "submodule", "--quiet", "add", "../lib.git", "lib")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", "first")


def sshd():
    Path("/run/sshd").mkdir(exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-A"], check=True)
    options = ["AuthorizedKeysFile=/run/private/authorized_keys", "PasswordAuthentication=no", "StrictModes=no"]
    subprocess.Popen(["/usr/sbin/sshd", "-D", *(word for option in options for word in ("-o", option))])


def main():
    Server.token_file = Path(sys.argv[1])
    repositories()
    sshd()
    ThreadingHTTPServer(("", PORT), Server).serve_forever()


if __name__ == "__main__":
    main()
