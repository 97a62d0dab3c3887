"""Benchmarks: one file in ``questions/``, one question, one table. ``recell bench`` runs them; docs/benchmarks.md says how to

read them.
"""
