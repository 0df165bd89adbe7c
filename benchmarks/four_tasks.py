"""The picture of the main comparison: what each model adds to success on each task, from benchmarks/results/closed_loop.json.

Writes docs/four-tasks.svg.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

ROOT = Path(__file__).resolve().parents[1]
ROWS = (
    ("oracle (simulator)", ("oracle",)),
    ("pointcloud (true depth)", ("pointcloud",)),
    ("oracle-blur (simulator)", ("oracle-blur",)),
    ("video, post-trained", ("video-lora-code", "video-table-full-vector")),
    ("video-base", ("video-base",)),
    ("rotate-only", ("rotate-only",)),
    ("frozen", ("frozen",)),
    ("blind (simulator)", ("blind",)),
    ("shuffled (simulator)", ("shuffled",)),
    ("oracle-wrong (simulator)", ("oracle-wrong",)),
)
"""What the rows are called, and the models that stand in them."""
NAMES = {"embodied-qa": "question answering", "image-goal": "image-goal navigation"}
COLOURS = {"better": "#1b7a3d", "worse": "#b3261e"}
LEFT, TOP, ROW, WIDTH = 180, 92, 27, 980
LOW, HIGH = -30.0, 60.0
"""Points of SR at the ends of each panel."""
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1c1f23}"
    ".title{font-size:17px;font-weight:600}.head{font-size:13px;font-weight:600}"
    ".dim{fill:#5d656e;font-size:11px}.grid{stroke:#eceef0}.zero{stroke:#9aa2ab}"
    ".bar{stroke:currentColor;stroke-width:2}circle{fill:currentColor}"
)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> Markup:
    """A line of text."""
    form = '<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>'
    return Markup(form).format(x, y, kind, anchor, words)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(x1, y1, x2, y2, kind)


def panel(task: dict[str, Any], left: float, width: float) -> Markup:
    """All models of one task."""

    def x(points: float) -> float:
        return round(left + (points - LOW) / (HIGH - LOW) * width, 1)

    bottom = TOP + ROW * len(ROWS)
    name = NAMES.get(task["task"], task["task"].replace("-", " "))
    base = next(r for r in task["rows"] if r["model"] == "none")["success_rate"]["value"]
    parts = [
        text(left, TOP - 30, name, "head"),
        text(left, TOP - 14, f"{task['episodes']} episodes, none {100 * base:.1f} %", "dim"),
    ]
    for tick in (-20, 0, 20, 40):
        parts.append(line(x(tick), TOP, x(tick), bottom, "grid" if tick else "zero"))
        parts.append(
            text(x(tick), bottom + 16, f"{tick:+d}".replace("-", "−") if tick else "0", "dim", "middle")
        )
    for i, (_, models) in enumerate(ROWS):
        found = next((r for r in task["rows"] if r["model"] in models), None)
        if found is None:
            continue
        y, gap = TOP + ROW * (i + 0.5), found["difference"]
        value, low, high = (100 * gap[k] for k in ("value", "low", "high"))
        words = f"{found['label']}: {value:+.1f} points ({low:+.1f} to {high:+.1f}), {found['verdict']}"
        parts.append(
            Markup('<g style="color:{}"><title>{}</title>{}<circle cx="{}" cy="{}" r="4.5"/></g>').format(
                COLOURS.get(found["verdict"], "#5d656e"),
                words,
                line(x(low), y, x(high), y, "bar"),
                x(value),
                y,
            )
        )
    return Markup("").join(parts)


def draw(tasks: list[dict[str, Any]]) -> str:
    """The whole figure; the task in which perfect imagination helps most comes first."""

    def gain(task: dict[str, Any]) -> float:
        return next(r for r in task["rows"] if r["model"] == "oracle")["difference"]["value"]

    tasks = sorted(tasks, key=gain, reverse=True)
    step = (WIDTH - LEFT - 16) / len(tasks)
    title = "What imagination adds to the success rate, in points over none"
    parts = [text(16, 30, title, "title")]
    for i, (name, _) in enumerate(ROWS):
        parts.append(text(LEFT - 16, TOP + ROW * (i + 0.5) + 4, name, "", "end"))
    parts += [panel(task, LEFT + i * step, step - 22) for i, task in enumerate(tasks)]
    height = TOP + ROW * len(ROWS) + 52
    note = (
        "Bars: 95 % bootstrap intervals over scenes. Green and red: better and worse than none by McNemar's test with Holm's correction. "
        "Empty: not run on this task."
    )
    parts.append(text(16, height - 12, note, "dim"))
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
            '<style>{3}</style><rect width="100%" height="100%" fill="#fff"/>\n{4}\n</svg>\n'
        ).format(WIDTH, height, title, Markup(STYLE), Markup("\n").join(parts))
    )


if __name__ == "__main__":
    results = json.loads((ROOT / "benchmarks" / "results" / "closed_loop.json").read_text())
    (ROOT / "docs" / "four-tasks.svg").write_text(draw(results["leaderboard"]["tasks"]))
