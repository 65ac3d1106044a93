"""Marketplaces in and out of files: importers for anyone's data, and a seeded world with its latent truth."""
