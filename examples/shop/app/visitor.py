"""The visitor's cookie: a random name and its signature, so that nobody can pose as somebody else."""

import hashlib
import hmac
import secrets

COOKIE = "visitor"


def sign(name, key):
    """Returns the cookie's value for a visitor's name."""
    return f"{name}.{hmac.new(key, name.encode(), hashlib.sha256).hexdigest()}"


def recognise(header, key):
    """Returns the visitor's name from a Cookie header, or None when there is none with a true signature."""
    for part in (header or "").split(";"):
        label, _, value = part.strip().partition("=")
        name = value.partition(".")[0]
        if label == COOKIE and hmac.compare_digest(value.encode(), sign(name, key).encode()):
            return name
    return None


def welcome():
    """Returns a name for a new visitor."""
    return secrets.token_hex(8)
