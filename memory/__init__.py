"""Versioned memory: commits, snapshots, trie, followers and the Milvus store."""
