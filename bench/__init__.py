"""Benchmarks: not tests. Each prints what it measured and leaves the verdict to who reads it."""
