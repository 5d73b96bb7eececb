"""How good a concept is: draw it under one protocol and measure the pictures."""
