"""Turns source topics into commits, exactly once, and keeps what it could not read."""
