"""Attention in Triton: what `kernel.py` launches."""
