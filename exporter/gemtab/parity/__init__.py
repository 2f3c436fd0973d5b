"""Compare a bundle's backends with the reference, on the bundle's weights and on the checkpoint's."""
