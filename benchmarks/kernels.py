"""Kernels beside what the GPU can do and beside their peers: python -m benchmarks.kernels."""

import sys

if __name__ != "kernels":  # as transformers asks for a package of that name where a script beside this one runs
    from benchmarks.kernel_times import main

if __name__ == "__main__":
    sys.exit(main())
