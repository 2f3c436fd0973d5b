"""Lay out weights in data files and write them resumably."""
