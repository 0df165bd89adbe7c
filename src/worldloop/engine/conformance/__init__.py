"""The conformance suite: what every world model must do for the loop's results to mean something.

`suite.CHECKS` lists the items in order; docs/conformance.md explains each. `engine.check` is the public door.
"""

from worldloop.engine.conformance.badge import badge_svg
from worldloop.engine.conformance.report import CheckItem, CheckReport
from worldloop.engine.conformance.suite import CHECKS, check_model

__all__ = ["CHECKS", "CheckItem", "CheckReport", "badge_svg", "check_model"]
