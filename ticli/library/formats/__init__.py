"""Files of learned words, one module a layout."""
