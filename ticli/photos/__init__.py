"""Find, open, check and crop photos; read captions; the sentences that speak of them."""
