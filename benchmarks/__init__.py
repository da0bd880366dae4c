"""What is measured, and how: docs/benchmarks.md."""
