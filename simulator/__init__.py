"""A discrete-event auction simulator that plays traffic against the engine."""
