"""Pictures, sounds and clips, from bytes to the towers' inputs.

`rules` holds what a model's processor_config.json decides; `images` and `video` need Pillow and PyAV, which the extra
`media` brings.
"""
