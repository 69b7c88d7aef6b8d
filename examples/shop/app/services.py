"""Connections to the services, from the variables that the runtime injects."""

import os

import psycopg2
import redis


def database():
    """Opens a connection to the database."""
    return psycopg2.connect(
        host=os.environ["DB_HOST"],
        port=os.environ["DB_PORT"],
        dbname=os.environ["DB_DATABASE"],
        user=os.environ["DB_USERNAME"],
        password=os.environ["DB_PASSWORD"],
        connect_timeout=5,
    )


def cache():
    """Returns a client of the cache; it connects on first use."""
    return redis.Redis(
        host=os.environ["REDIS_HOST"],
        port=int(os.environ["REDIS_PORT"]),
        password=os.environ["REDIS_PASSWORD"],
        socket_timeout=5,
        decode_responses=True,
    )
