"""Passes: what changes a model between import and code generation. See hetpart.passes.registry for the list."""
