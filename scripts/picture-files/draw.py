"""Draws a captured terminal: draw.py COLUMNS <screen >picture.svg

The screen is text with ANSI colours, as `tmux capture-pane -e` writes it. Every run of one style is a piece of text at the place
of its column, with its exact width, so that columns line up whatever font there is. Colours follow the reader's scheme.
"""

import re
import sys
from html import escape

WIDE, HIGH = 8.4, 19
LEFT, TOP, RIGHT, BOTTOM = 18, 46, 18, 16
COLOURS = {31: "bad", 32: "good", 33: "doubt", 36: "advice", 91: "bad", 92: "good", 93: "doubt", 96: "advice"}
STYLE = """
.back { fill: #ffffff; stroke: #d0d7de; } .dot { fill: #d0d7de; }
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre; }
.bold { font-weight: 700; } .dim { fill: #59636e; }
.bad { fill: #b3261e; } .good { fill: #1a7f45; } .doubt { fill: #8a5a00; } .advice { fill: #0b6b75; }
@media (prefers-color-scheme: dark) {
  .back { fill: #161b22; stroke: #3d444d; } .dot { fill: #3d444d; } text { fill: #e6edf3; } .dim { fill: #9aa4af; }
  .bad { fill: #ff9d94; } .good { fill: #6fce96; } .doubt { fill: #f1c25c; } .advice { fill: #6fd3de; }
}
"""


def runs(line):
    """Splits a line into its texts, each with its column and the names of its styles."""
    column, styles = 0, []
    for piece in re.split(r"(\x1b\[[0-9;]*m|\x1b\([A-Z0-9])", line):
        sequence = re.fullmatch(r"\x1b\[([0-9;]*)m", piece)
        if sequence:
            for number in (int(text or 0) for text in sequence[1].split(";")):
                if number in (0, 39):
                    styles = [style for style in styles if number == 39 and style in ("bold", "dim")]
                elif number == 22:
                    styles = [style for style in styles if style not in ("bold", "dim")]
                else:
                    name = {1: "bold", 2: "dim"}.get(number) or COLOURS.get(number)
                    styles = styles + [name] if name else styles
        elif piece and not piece.startswith("\x1b"):
            # Words a long way apart are runs of their own: no font may move a column.
            for text in re.finditer(r"\S+(?: \S+)*", piece):
                yield column + text.start(), text[0], styles
            column += len(piece)


def draw(lines, columns):
    """Writes the picture."""
    width, height = LEFT + columns * WIDE + RIGHT, TOP + len(lines) * HIGH + BOTTOM
    plain = [re.sub(r"\x1b(\[[0-9;]*m|\([A-Z0-9])", "", line) for line in lines]
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-labelledby="title text">',
        "<title id=\"title\">A terminal in which pbuild refuses an image that holds a secret</title>",
        f'<desc id="text">{escape(chr(10).join(plain))}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="back" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="10"/>',
    ]
    out += [f'<circle class="dot" cx="{22 + 20 * number}" cy="21" r="6"/>' for number in range(3)]
    for number, line in enumerate(lines):
        for column, text, styles in runs(line):
            chosen = f' class="{" ".join(styles)}"' if styles else ""
            place = f'x="{LEFT + column * WIDE:g}" y="{TOP + number * HIGH + 13:g}" textLength="{len(text) * WIDE:g}"'
            out.append(f"<text {place}{chosen}>{escape(text, quote=False)}</text>")
    return "\n".join(out + ["</svg>", ""])


# The engine's socket is that of this machine, and says nothing about pbuild.
screen = re.sub(r"unix://\S*\.sock", "unix:///var/run/docker.sock", sys.stdin.read())
shown = screen.split("\n")
while shown and not shown[-1].strip():
    shown.pop()
sys.stdout.write(draw([line.rstrip() for line in shown], int(sys.argv[1])))
