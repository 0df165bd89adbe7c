"""The usual translator into each control language."""

from __future__ import annotations

from worldloop.actions.camera import CameraTranslator, DeltaTranslator
from worldloop.actions.codes import NAVIGATION_CODES, CodeTranslator
from worldloop.actions.control import Translator
from worldloop.actions.gripper import FIELDS, DenseGripperTranslator
from worldloop.actions.keyboard import KeyboardTranslator
from worldloop.actions.navigation import NAVIGATION
from worldloop.actions.text import TextTranslator
from worldloop.core import Vocabulary


def usual_translator(kind: str, vocabulary: Vocabulary) -> Translator | None:
    """How plans of a vocabulary are told in `text`, `camera`, `code`, `keys` or `vector`; None where they cannot be.

    Codes are those of World-In-World for its own vocabulary, and count the actions of any other. InputError for a vocabulary
    in which two actions would be told alike.
    """
    if not vocabulary.discrete:
        gripper = kind == "vector" and vocabulary.fields == FIELDS
        return DenseGripperTranslator(vocabulary) if gripper else None
    if kind == "text":
        return TextTranslator(vocabulary)
    if kind == "camera":
        return CameraTranslator(vocabulary)
    if kind == "code":
        own = vocabulary == NAVIGATION
        numbered = {p.name: i for i, p in enumerate(vocabulary.primitives)}
        return CodeTranslator(vocabulary, NAVIGATION_CODES if own else numbered)
    if kind == "keys":
        return KeyboardTranslator(vocabulary)
    return DeltaTranslator(vocabulary) if kind == "vector" else None
