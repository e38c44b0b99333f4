"""Stands in for the module ``cython`` where a compiled module runs from source without it."""

compiled = False
