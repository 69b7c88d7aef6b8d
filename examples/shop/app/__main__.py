"""Serves the shop window on port 8080 until SIGTERM."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis
import shop_greeting

from app import page, services, visitor

PORT = 8080


class Window(BaseHTTPRequestHandler):
    """Answers `/` with the page and `/healthz` with whether both services answer."""

    key = b""
    cache = None

    def do_GET(self):
        try:
            if self.path == "/":
                self.show()
            elif self.path == "/healthz":
                self.health()
            else:
                self.answer(404, "not found\n")
        except (psycopg2.Error, redis.RedisError) as error:
            # The message may name hosts and users; whoever asks learns only that a service is missing.
            print(f"service error: {type(error).__name__}", file=sys.stderr)
            self.answer(503, "a service is not available\n")

    def show(self):
        name = visitor.recognise(self.headers.get("Cookie"), self.key) or visitor.welcome()
        connection = services.database()
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("select name, cents from wares order by cents desc")
                wares = cursor.fetchall()
            version = connection.get_parameter_status("server_version").split()[0]
        finally:
            connection.close()
        body = page.render(shop_greeting.greet("visitor"), wares, self.cache.incr("visits"), version)
        cookie = f"{visitor.COOKIE}={visitor.sign(name, self.key)}; HttpOnly; SameSite=Lax"
        self.answer(200, body, "text/html; charset=utf-8", cookie)

    def health(self):
        connection = services.database()
        connection.close()
        self.cache.ping()
        self.answer(200, "ok\n")

    def answer(self, status, text, kind="text/plain; charset=utf-8", cookie=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)


def main():
    Window.key = os.environb[b"APP_KEY"]
    Window.cache = services.cache()
    server = ThreadingHTTPServer(("", PORT), Window)
    # Process 1 has no default handlers: without this the engine would wait and kill.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"shop open on port {PORT}")
    server.serve_forever()
    print("shop closed")


if __name__ == "__main__":
    main()
