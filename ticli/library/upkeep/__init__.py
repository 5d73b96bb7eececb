"""Keep a library whole: look it over, rebuild, prune, back up and restore it."""
