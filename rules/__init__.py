"""Hard limits: what may be shown at all, what an operator's rules block, what is shown when models are late."""
