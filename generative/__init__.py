"""Proposes items as semantic IDs, under the snapshot's trie and the request's admission."""
