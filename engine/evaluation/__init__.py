"""Measuring: the evaluation protocol (``mirage eval``) and, in :mod:`engine.evaluation.bench`, the benchmark."""
