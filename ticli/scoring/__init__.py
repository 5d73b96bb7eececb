"""Judging a learned word: pictures drawn under one protocol, measured by an outside encoder."""
