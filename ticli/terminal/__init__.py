"""What the terminal sees: results on stdout, everything else on stderr."""
