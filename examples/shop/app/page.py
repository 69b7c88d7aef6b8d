"""The shop window as HTML."""

from html import escape

STYLE = (
    "body{font:1.1rem/1.5 Georgia,serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#222;background:#fbf9f4}"
    "table{width:100%;border-collapse:collapse}td{border-bottom:1px solid #ddd;padding:.4rem 0}"
    "td+td{text-align:right;font-variant-numeric:tabular-nums}footer{margin-top:2rem;color:#666;font-size:.9rem}"
)


def render(greeting, wares, visits, database_version):
    """Renders the greeting, the wares as (name, cents) and the number of visits."""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{cents // 100}.{cents % 100:02}</td></tr>" for name, cents in wares
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Shop</title><style>{STYLE}</style>"
        f"<h1>{escape(greeting)}</h1><table>{rows}</table>"
        f"<footer>Visit {visits} · wares from PostgreSQL {escape(database_version)}, visits from the cache</footer></html>\n"
    )
