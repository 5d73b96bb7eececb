"""From a prompt to pictures: look up its concepts, choose a model, draw and write."""
