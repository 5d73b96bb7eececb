"""`ti`: textual inversion from photos to pictures, with a library of learned words between."""

__version__ = "0.1.0"
