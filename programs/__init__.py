"""Builds the objects and runs them; the only part that sees all the others."""
