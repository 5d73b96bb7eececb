"""Learning a word: latents, trainable vectors, the loss, the loop, its checkpoints."""
