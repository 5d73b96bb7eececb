"""One thin file per verb: parse, call the core, hand the result to the terminal."""
