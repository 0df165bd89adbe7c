"""What the documents say can be typed, and what they link to is there."""

import re
import shlex
from pathlib import Path

import pytest

from worldloop.cli.main import parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def commands() -> list[str]:
    """Every worldloop command in a fenced block, once, without variables before it and comments behind it."""
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                found += re.findall(r"(?:^|&& )(?:\w+=\S+ )*(worldloop .*?)(?= && | &$|$)", line.strip())
    return list(dict.fromkeys(found))


def anchors(page: Path) -> set[str]:
    """What can follow # in a link to a page."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("command", commands())
def test_the_command_line_knows_every_command_of_the_documents(command):
    # `...` stands for more of the same and is no argument.
    words = [w for w in shlex.split(command, comments=True)[1:] if w != "..."]
    parser().parse_args(words)


def test_there_are_such_commands():
    assert len(commands()) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(re.sub(r"`[^`\n]+`", "", BLOCK.sub("", page.read_text()))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target
