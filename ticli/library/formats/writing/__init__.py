"""Concepts written for other programs, one module a kind of file."""
