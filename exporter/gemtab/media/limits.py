"""Limits on images, audio and video. Larger files are rejected as soon as their size is known.

`npm run gen` writes the same numbers for the tab.
"""

LOWEST_RATE = 8_000
"""Minimum rate of audio, in Hz."""

HIGHEST_RATE = 192_000
"""Maximum rate of audio, in Hz."""

MAX_SAMPLES = 1 << 27
"""Maximum samples of audio: 512 MiB, 46 minutes at 48 kHz."""

MAX_RECORDINGS = 1_000
"""Maximum number of recordings chained in one Ogg file."""

MAX_PIXELS = 8192 * 8192
"""Maximum pixels of an image or of one frame of a video."""

MAX_FRAMES = 1 << 20
"""Maximum frames of a video: ten hours at 30 a second."""

MAX_SECONDS = 6 * 3600
"""Maximum seconds from a video's first frame to its last."""

MAX_VIDEO_BYTES = 1 << 30
"""Maximum bytes of a video's prepared frames in memory."""

MAX_IMAGE_BYTES = 256 << 20
"""Maximum bytes of an image file."""

MAX_FILE_BYTES = 2 << 30
"""Maximum bytes of an audio or video file."""
