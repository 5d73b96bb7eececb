"""Completion scripts of bash, zsh and fish, written from the command tree."""
