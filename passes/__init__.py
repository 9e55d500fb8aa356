"""Passes: what changes a model between import and code generation. See `registry` for the list."""
