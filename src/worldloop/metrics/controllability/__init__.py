"""Controllability: does the model show what the actions bring?"""

from worldloop.metrics.controllability import accuracy, distance, path, script

__all__ = ["accuracy", "distance", "path", "script"]
