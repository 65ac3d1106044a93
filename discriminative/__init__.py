"""Judges what was proposed: click and conversion probability, compliance of the text."""
