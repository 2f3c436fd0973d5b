"""How large the parts of a bundle may be, whoever wrote it, and how much of a conversation is kept on the GPU. The tab
has these numbers by `npm run gen`."""

from typing import Final

MANIFEST_BYTES: Final = 16 << 20
PLAN_BYTES: Final = 8 << 20
"""A plan of E2B has half a MB."""
TOKENIZER_BYTES: Final = 128 << 20
"""The published tokenizer.json has 33 MB."""
TEMPLATE_BYTES: Final = 1 << 20
SHADER_BYTES: Final = 1 << 20
CONFIG_BYTES: Final = 4 << 20
"""Most bytes of every other JSON file."""

CONTROL_UNITS: Final = 1 << 17
"""Most UTF-16 units of all control tokens together. The published tokenizer's have 203."""

SLICE_BYTES: Final = 64 << 20
"""Most bytes of a slice, which a tab holds as a whole. Exports cut slices of 16 MiB."""

FILES: Final = 10_000
BUFFERS: Final = 50_000
KERNELS: Final = 10_000
PROGRAMS: Final = 16
DISPATCHES: Final = 100_000
"""Most dispatches of all programs of a plan together. The plan of E2B has 1,100."""

UNIFORM_BYTES: Final = 65_536
"""The largest uniform binding, which every device has."""

SNAPSHOTS: Final = 16
"""Most snapshots of caches that are kept for later turns."""
SNAPSHOT_BYTES: Final = 64 << 20
"""Most GPU bytes of those snapshots together; one snapshot is kept whatever its size."""
MEDIA_ROWS_BYTES: Final = 256 << 20
"""Most GPU bytes of the embeddings of images and audio that are kept for later turns."""

MOST_INTEGER: Final = 2**53
"""JavaScript's whole numbers are exact below it."""


def as_json() -> dict[str, int]:
    """The limits by name, as the tab takes them."""
    return {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int)}
