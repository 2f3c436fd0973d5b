"""The tables that are printed at the end of a run. A test leaves a line of one in the property of its name."""

from typing import Final

IDENTITY_LINE: Final = "greedy tokens equal to the reference's, of those decoded (near-ties)"
ACCURACY_LINE: Final = "right answers about images and voices that were not in training"
LOADING_LINE: Final = "JavaScript's memory while a bundle is loaded, heaps and ArrayBuffers"
FLIPS_LINE: Final = "rounded activations that differ from the reference's, of the same inputs"
CORPUS_LINE: Final = "inputs that come out equal to transformers', of those tried (largest difference)"
ATTACK_LINE: Final = "how spoilt bundles, hosts and GPUs ended, by what used them"
TABLES: Final = (IDENTITY_LINE, ACCURACY_LINE, LOADING_LINE, FLIPS_LINE, CORPUS_LINE, ATTACK_LINE)
