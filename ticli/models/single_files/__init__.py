"""Models in one safetensors file: recognised by their keys, completed without a network."""
