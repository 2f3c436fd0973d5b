"""Upper bounds for the parts of a bundle, which may be hostile, and for the GPU memory that a conversation keeps.

`npm run gen` writes these numbers into `webruntime/src/bundle/limits.gen.ts`.
"""

from typing import Final

MANIFEST_BYTES: Final = 16 << 20
"""Most bytes of gemtab.json."""
PLAN_BYTES: Final = 8 << 20
"""Most bytes of a plan. A plan of E2B has half a MB."""
TOKENIZER_BYTES: Final = 128 << 20
"""Most bytes of tokenizer.json. The published one has 33 MB."""
TEMPLATE_BYTES: Final = 1 << 20
"""Most bytes of chat_template.jinja."""
SHADER_BYTES: Final = 1 << 20
"""Most bytes of a WGSL file."""
CONFIG_BYTES: Final = 4 << 20
"""Most bytes of any other JSON file."""

CONTROL_UNITS: Final = 1 << 17
"""Most UTF-16 units of all control tokens together. Those of the published tokenizer have 203."""

SLICE_BYTES: Final = 64 << 20
"""Most bytes of a slice. A tab keeps a whole slice in memory. Exports use slices of 16 MiB."""

FILES: Final = 10_000
"""Most files of a bundle."""
BUFFERS: Final = 50_000
"""Most buffers and slots of a plan together."""
KERNELS: Final = 10_000
"""Most kernels of a plan."""
PROGRAMS: Final = 16
"""Most programs of a plan."""
DISPATCHES: Final = 100_000
"""Most dispatches of all programs of a plan together. The plan of E2B has 1,100."""

UNIFORM_BYTES: Final = 65_536
"""Most bytes of a uniform binding, which every device supports."""

SNAPSHOTS: Final = 16
"""Most snapshots of caches kept for later turns."""
SNAPSHOT_BYTES: Final = 64 << 20
"""Most GPU bytes of these snapshots together. One snapshot is always kept, of any size."""
MEDIA_ROWS_BYTES: Final = 256 << 20
"""Most GPU bytes of the rows of images and audio kept for later turns."""

MAX_INTEGER: Final = 2**53
"""JavaScript represents integers below this number exactly."""


def as_json() -> dict[str, int]:
    """Return the limits by name."""
    return {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int)}
