"""Fits the scorer and the environment effects; imported by programs.train alone."""
