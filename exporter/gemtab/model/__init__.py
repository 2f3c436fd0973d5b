"""Gemma 4, written once on the graph's ops."""
