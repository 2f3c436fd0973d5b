"""The npm package as users have it: packed, installed, built by their bundlers."""
