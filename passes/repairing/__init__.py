"""Repair of compressed models: which nodes are linear in their weights, and least squares over calibration samples."""
