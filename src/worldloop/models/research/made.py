"""Networks from settings that name their classes (`_target_`), as hydra writes them, without running what they please."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from worldloop.core import InputError

Find = Callable[[str], Any]
"""What stands behind a dotted name; InputError for names that may not be used."""


def made(settings: Any, find: Find, **further: Any) -> Any:
    """What settings describe: objects with a `_target_` are called with their other entries, inner ones first.

    further: arguments that the settings do not give. Raises InputError for names that `find` refuses and for
    arguments that do not fit.
    """
    if isinstance(settings, list):
        return [made(s, find) for s in settings]
    if not isinstance(settings, dict):
        return settings
    inner = {k: made(v, find) for k, v in settings.items() if not k.startswith("_")}
    if "_target_" not in settings:
        return inner
    target = str(settings["_target_"])
    function, positional = find(target), made(settings.get("_args_", []), find)
    if settings.get("_partial_"):
        return functools.partial(function, *positional, **inner, **further)
    try:
        return function(*positional, **{**inner, **further})
    except (TypeError, ValueError, RuntimeError, OSError, KeyError) as error:
        raise InputError(
            f"{target} cannot be made from its settings: {type(error).__name__}: {error}"
        ) from None
