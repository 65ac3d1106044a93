"""adgram: an open hybrid ad decision engine.

The repository's root is this package; docs/ARCHITECTURE.md is its map.
"""

__version__ = "0.1.0"
