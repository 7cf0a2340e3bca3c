"""Losses to look at: formulas and curves, for a notebook and a terminal. Nothing that computes a loss needs it."""
