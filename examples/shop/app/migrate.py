"""The init command: brings the schema up to date. Safe to run again, and by several instances at once."""

from app import services

# "if not exists" alone is not safe when two sessions create the same table at once.
LOCK = 7_310_001

WARES = [
    ("Teapot, enamelled", 2400),
    ("Tin of darjeeling", 1150),
    ("Honey spoon", 480),
]


def migrate(connection):
    """Creates the table of wares and fills it on the first run; returns how many wares there are."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(
            "create table if not exists wares (name text primary key, cents integer not null check (cents > 0))"
        )
        for ware in WARES:
            cursor.execute("insert into wares values (%s, %s) on conflict do nothing", ware)
        cursor.execute("select count(*) from wares")
        return cursor.fetchone()[0]


if __name__ == "__main__":
    connection = services.database()
    print(f"migrated: {migrate(connection)} wares")
    connection.close()
