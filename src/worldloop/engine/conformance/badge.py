"""The badge of a checked model: a small picture that needs no network to be drawn or shown."""

from __future__ import annotations

from xml.sax.saxutils import escape

from worldloop.engine.conformance.report import CheckReport

LABEL = "worldloop check"
GOOD, BAD = "#2e7d32", "#c62828"
LETTER = 6.6
"""Pixels of a letter of 11 pixels in a common sans-serif typeface, on average."""


def badge_svg(report: CheckReport) -> str:
    """An SVG of 20 pixels height that says how many checks passed, or how many failed."""
    failed = report.count("fail")
    words = f"{failed} failed" if failed else f"{report.count('pass')} passed"
    left, right = (round(LETTER * len(text)) + 12 for text in (LABEL, words))
    title = escape(report.badge)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{words}">\n'
        f"<title>{title}</title>\n"
        f'<rect width="{left}" height="20" fill="#444"/>\n'
        f'<rect x="{left}" width="{right}" height="20" fill="{BAD if failed else GOOD}"/>\n'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">\n'
        f'<text x="{left / 2:g}" y="14">{LABEL}</text>\n'
        f'<text x="{left + right / 2:g}" y="14">{words}</text>\n'
        "</g>\n</svg>\n"
    )
