"""Experts in Triton: what `kernel.py` launches."""
