"""Trains the tokenizer and the decoder; imported by programs.train alone."""
