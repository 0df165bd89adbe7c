"""A repository that the user has cloned: code is imported from it without staying in anybody's way.

Research repositories call their modules `models`, `utils` or `datasets`, so that two of them, or one of them and a
library, cannot be imported side by side. Here a clone's modules are to be found only while something is imported
from it.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from worldloop.core import InputError
from worldloop.core.errors import MissingExtraError

log = logging.getLogger(__name__)
_IMPORTING = threading.RLock()
"""There is one `sys.modules` for all threads."""


@dataclass(frozen=True)
class Repository:
    """What an adapter expects of a clone."""

    name: str
    url: str
    licence: str
    files: tuple[str, ...]
    """What must be there, relative to the clone."""
    state: str
    """Which state of the repository the adapter was written for."""
    sources: str = "."
    """The folder that its modules are imported from."""


class Clone:
    """A repository in a folder on this machine."""

    def __init__(self, folder: str | Path, repository: Repository) -> None:
        """InputError for a folder that is not a clone of this repository."""
        self.root, self.repository = Path(folder).expanduser().resolve(), repository
        missing = [f for f in repository.files if not (self.root / f).exists()]
        if missing:
            raise InputError(
                f"{self.root} is no clone of {repository.name} as it is expected here: it lacks {', '.join(missing)}; "
                f"git clone {repository.url} ({repository.state}) and give that folder"
            )
        self._sources = (self.root / repository.sources).resolve()
        self._modules: dict[str, ModuleType] = {}

    def _owned(self) -> set[str]:
        """Top-level names of its modules."""
        found = (p.stem for p in self._sources.iterdir() if p.suffix == ".py" or p.is_dir())
        return {name for name in found if name.isidentifier()}

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Within it, the clone's modules are those that are found; modules of the same names are put aside."""
        with _IMPORTING:
            owned, place = self._owned(), str(self._sources)
            aside = _taken(owned)
            sys.modules.update(self._modules)
            sys.path.insert(0, place)
            importlib.invalidate_caches()
            try:
                yield
            finally:
                sys.path.remove(place)
                self._modules = _taken(owned)
                sys.modules.update(aside)

    def find(self, module: str, name: str) -> Any:
        """An attribute of one of its modules; InputError where there is none or the import fails."""
        with self.importing(), muffled():
            try:
                found = importlib.import_module(module)
            except ModuleNotFoundError as error:
                raise InputError(self._absent(module, error.name or module)) from None
            except Exception as error:
                raise InputError(
                    f"{self.root}: its module {module} cannot be imported ({type(error).__name__}: {error}); the "
                    f"adapter was written for {self.repository.state}"
                ) from error
        places = [getattr(found, "__file__", None), *getattr(found, "__path__", ())]
        if not any(p and Path(p).resolve().is_relative_to(self._sources) for p in places):
            raise InputError(
                f"{module} was not found in {self.root} but in {places[-1]}; leave that folder out of PYTHONPATH"
            )
        if not hasattr(found, name):
            raise InputError(
                f"{self.root}: its module {module} has no {name}; the adapter was written for {self.repository.state}"
            )
        return getattr(found, name)

    def owns(self, module: str) -> bool:
        """Whether a module of that name would be its own."""
        return module.partition(".")[0] in self._owned()

    def _absent(self, module: str, missing: str) -> str:
        if self.owns(missing):
            return (
                f"{self.root} has no module {missing}; the adapter was written for {self.repository.state} of "
                f"{self.repository.url}"
            )
        package = missing.partition(".")[0]
        return (
            f"the module {module} of {self.repository.name} imports {package}, which is not installed: pip install "
            f"{package}, or all that the clone's own instructions name"
        )

    def commit(self) -> str:
        """The commit that is checked out, as far as its `.git` tells; else an empty text."""
        try:
            head = (self.root / ".git" / "HEAD").read_text().strip()
            if not head.startswith("ref: "):
                return head
            return (self.root / ".git" / head.removeprefix("ref: ")).read_text().strip()
        except OSError:
            return ""

    def digest(self) -> bytes:
        """Hash of the modules that were imported so far: what was computed depends on them."""
        whole = hashlib.sha256()
        for name, module in sorted(self._modules.items()):
            if (file := getattr(module, "__file__", None)) and Path(file).suffix == ".py":
                whole.update(name.encode() + Path(file).read_bytes())
        return whole.digest()

    def settings(self, file: str | Path) -> dict[str, Any]:
        """The settings in a YAML file, relative to the clone or anywhere; InputError for what cannot be read."""
        return read_yaml(self.root / file)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file; InputError for what cannot be read, MissingExtraError without PyYAML."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError("a research model in your own clone", "research") from error
    try:
        found = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} does not hold settings")
    return found


@contextmanager
def muffled() -> Iterator[None]:
    """What research code prints goes to the log."""
    said = io.StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        for line in filter(None, said.getvalue().splitlines()):
            log.debug("%s", line)


def _taken(owned: set[str]) -> dict[str, ModuleType]:
    """The modules of these names and below, which are no longer found."""
    names = [n for n in sys.modules if n.partition(".")[0] in owned]
    return {n: sys.modules.pop(n) for n in names}
