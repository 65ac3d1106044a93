"""The vocabulary every part speaks: data, Protocols, errors. Imports no other part."""
