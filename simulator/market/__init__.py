"""Marketplaces: made with latent truth, or imported from somebody's own data."""
