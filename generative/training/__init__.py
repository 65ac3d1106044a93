"""Trains the tokenizer and the decoder; imported by the programs that train and evaluate."""
