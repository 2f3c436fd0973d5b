"""Limits on images, audio and video. Larger files are rejected as soon as their size is known.

Twin: webruntime/src/input/limits.ts.
"""

LOWEST_RATE = 8_000
HIGHEST_RATE = 192_000
"""Range of audio rates, in Hz."""

MOST_SAMPLES = 1 << 27
"""Samples of audio: 512 MiB, 46 minutes at 48 kHz."""

MOST_RECORDINGS = 1_000
"""Recordings chained in one Ogg file."""

MAX_PIXELS = 8192 * 8192
"""Pixels of an image or of one frame of a video."""

MOST_FRAMES = 1 << 20
"""Frames of a video: ten hours at 30 a second."""

MOST_SECONDS = 6 * 3600
"""Seconds from a video's first frame to its last."""

MOST_VIDEO_BYTES = 1 << 30
"""Bytes of a video's prepared frames in memory."""

MOST_IMAGE_BYTES = 256 << 20
MOST_FILE_BYTES = 2 << 30
"""Bytes of an image file, and of an audio or video file."""
