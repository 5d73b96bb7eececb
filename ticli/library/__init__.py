"""The library: rows in SQLite, tensors in content-addressed files."""
