"""Tests on published weights, by `make test-real` (240 MB to download, and minutes on a software GPU), and on random
weights of published shapes, by `make test-true` (an hour)."""
