"""Where the planes of weights lie in data files, and writing them there: an export that was stopped goes on."""
