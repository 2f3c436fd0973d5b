"""The layout of weights in data files, and their resumable writing."""
