"""Images, audio and video: from bytes to the inputs of the vision and audio towers.

`rules` and `audio_rules` read a model's processor_config.json. `images`, `audio` and `video` need Pillow and PyAV,
which the extra `media` installs.
"""
