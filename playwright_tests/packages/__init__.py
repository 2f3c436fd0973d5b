"""The npm package in the hands of users: packed, installed, built by their bundlers."""
