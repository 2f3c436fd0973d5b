"""What an export leaves on disk: the manifest, the plans, the weight files and their digests."""
