"""How much of images, audio and video is read: more is refused before any work, or as soon as it is seen.

The tab has these numbers by `npm run gen`.
"""

LOWEST_RATE = 8_000
"""The lowest rate in Hz of audio that is read."""

HIGHEST_RATE = 192_000
"""The highest rate in Hz of audio that is read."""

MOST_SAMPLES = 1 << 27
"""Of audio: 512 MiB, 46 minutes at 48 kHz."""

MOST_RECORDINGS = 1_000
"""That follow one another in an Ogg file."""

MAX_PIXELS = 8192 * 8192
"""Of an image, or of a frame of a video."""

MOST_FRAMES = 1 << 20
"""Of a video: ten hours at 30 a second."""

MOST_SECONDS = 6 * 3600
"""Of a video, from the first frame to the last."""

MOST_VIDEO_BYTES = 1 << 30
"""That the frames of a video may take while they are looked at."""

MOST_IMAGE_BYTES = 256 << 20
"""Of a file of an image."""

MOST_FILE_BYTES = 2 << 30
"""Of a file of audio or video."""
