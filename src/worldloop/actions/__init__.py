"""Vocabularies and the translators `C(A)` into every model's control language."""

from worldloop.actions.camera import CameraTranslator, DeltaTranslator, path_matrices, relative_motion
from worldloop.actions.codes import NAVIGATION_CODES, CodeTranslator
from worldloop.actions.control import Control, Translator
from worldloop.actions.gripper import (
    BinnedGripperTranslator,
    DenseGripperTranslator,
    gripper_delta_vocabulary,
    gripper_vocabulary,
)
from worldloop.actions.keyboard import (
    WASD,
    WORLDPLAY,
    KeyboardTranslator,
    WorldPlayTranslator,
    parse_key_script,
)
from worldloop.actions.languages import usual_translator
from worldloop.actions.navigation import NAVIGATION, camera_matrix, intended_path, yaw_of
from worldloop.actions.scripts import (
    WALKING,
    WORLDMARK,
    KeyScript,
    key_script,
    keys_plan,
    script_plan,
    vocabulary_for,
)
from worldloop.actions.text import TextTranslator

__all__ = [
    "NAVIGATION",
    "NAVIGATION_CODES",
    "WALKING",
    "WASD",
    "WORLDMARK",
    "WORLDPLAY",
    "BinnedGripperTranslator",
    "CameraTranslator",
    "CodeTranslator",
    "Control",
    "DeltaTranslator",
    "DenseGripperTranslator",
    "KeyScript",
    "KeyboardTranslator",
    "TextTranslator",
    "Translator",
    "WorldPlayTranslator",
    "camera_matrix",
    "gripper_delta_vocabulary",
    "gripper_vocabulary",
    "intended_path",
    "key_script",
    "keys_plan",
    "parse_key_script",
    "path_matrices",
    "relative_motion",
    "script_plan",
    "usual_translator",
    "vocabulary_for",
    "yaw_of",
]
