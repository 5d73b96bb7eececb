"""Embedding files: every layout that ti reads and writes."""
