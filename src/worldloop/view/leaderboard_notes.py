"""What a reader of the leaderboard must know: how the numbers were made, and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worldloop.runs import RunHeader
from worldloop.stats import fewest_clusters
from worldloop.view.leaderboard_table import Row


def footnotes(
    rows: Sequence[Row],
    headers: Sequence[RunHeader],
    baseline: str,
    ceiling: str,
    confidence: float,
    scenes: int,
) -> list[str]:
    """Lines to print below the table of one task."""
    level, alpha = f"{confidence * 100:g} %", f"{1 - confidence:.3g}"
    tested = sum(r.p_holm is not None for r in rows)
    few, way = (
        scenes < fewest_clusters(confidence),
        f"other intervals by cluster bootstrap over {scenes} scenes",
    )
    if few:
        way = f"other intervals by Student's t over {scenes} scenes, too few to resample"
    if scenes == 1:
        way = (
            "with one scene, only differences have one, too: Newcombe's, which takes the scene as one episode"
        )
    notes = [f"SR with Wilson's {level} interval, taking episodes as independent; {way}."]
    if tested:
        notes.append(
            f"p: exact McNemar test against {baseline} on the same episodes, Holm-adjusted over {tested} "
            f"model{'s' if tested > 1 else ''}. better / worse: adjusted p at most {alpha}, and the interval of "
            "the difference excludes 0."
        )
    if any(r.utility and r.utility.value is not None for r in rows):
        notes.append(
            f"utility: (SR - SR of {baseline}) / (SR of {ceiling} - SR of {baseline}); 0 for {baseline} and 1 for "
            f"{ceiling} by definition." + (" It has no interval: too few scenes to resample." if few else "")
        )
    reasons = {r.utility.note for r in rows if r.utility and r.utility.value is None}
    notes += [f"utility {reason}." for reason in sorted(reasons)]
    for name in (baseline, ceiling):
        runs = [r for r in rows if r.model == name]
        if not runs or not runs[0].complete:
            state = "is incomplete" if runs else "is missing"
            gone = "no model is compared" if name == baseline else "there is no utility"
            notes.append(f"The run of {name} {state}: {gone}.")
    if any(r.not_finished for r in rows):
        notes.append("Episodes that crashed, timed out or were refused count as failures.")
    if any(not r.complete for r in rows):
        notes.append("Incomplete runs show no rate: the episodes that finish first are no fair sample.")
    for key in ("worldloop", "torch", "numpy"):
        if len(found := {str(h.versions.get(key, "unknown")) for h in headers}) > 1:
            notes.append(
                f"Beware: the runs come from different versions of {key} ({', '.join(sorted(found))})."
            )
    if len({h.git_revision for h in headers}) > 1:
        notes.append("Beware: the runs come from different source revisions.")
    for header in headers:
        if again := sum(len(_retried(session)) for session in header.resumed):
            model = header.spec.get("model", "")
            notes.append(f"Beware: {again} episodes of {model} that had not finished were run again.")
    return notes


def _retried(session: dict[str, Any]) -> Sequence[Any]:
    found = session.get("retried")
    return found if isinstance(found, list) else ()
