"""Strips of handwritten digits, and questions about them: what the model that comes with triptych learns from."""
