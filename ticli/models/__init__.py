"""Base models: where they lie, what they are, and how they are run."""
