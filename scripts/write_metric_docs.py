"""Put the table of all metrics into docs/metrics.md, between its two marks.

python scripts/write_metric_docs.py
"""

from __future__ import annotations

from pathlib import Path

from worldloop.metrics.metric import choose_metrics
from worldloop.view.metric_list import listed_markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"


def main() -> None:
    """Write the page anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{listed_markdown(choose_metrics())}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
