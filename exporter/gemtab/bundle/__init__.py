"""The files of an export: manifest, plans, weight files and their digests."""
