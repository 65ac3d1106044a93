"""Numerical operations of the decode; reference.py is the specification of each."""
