"""Learn a concept: latents, trainable vectors, the loss, the loop, its checkpoints."""
