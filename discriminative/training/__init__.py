"""Learns the scorer from a marketplace's logs; imported by training alone, never while serving."""

from .fit import fit
from .report import ScorerReport, TaskReport

__all__ = ["ScorerReport", "TaskReport", "fit"]
