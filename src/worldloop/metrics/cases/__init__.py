"""Cases: questions to world models whose true answers are known."""

from worldloop.metrics.cases.case import DOMAINS, KINDS, VERSIONS, Case, CaseSpec, build_case, list_cases

__all__ = ["DOMAINS", "KINDS", "VERSIONS", "Case", "CaseSpec", "build_case", "list_cases"]
