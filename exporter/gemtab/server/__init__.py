"""The development server: the built site, bundles beside it, and a live channel to open tabs."""
