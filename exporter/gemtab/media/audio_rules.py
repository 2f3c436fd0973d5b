"""The audio settings of processor_config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemtab.bundle.soft_tokens import AUDIO_TOKEN_MS, AUDIO_TOKENS
from gemtab.errors import CheckpointError
from gemtab.media.limits import HIGHEST_RATE, LOWEST_RATE
from gemtab.media.mel import MelRules
from gemtab.media.rules import section_of, size_in

_SECTION = "feature_extractor"
MAX_FRAME_SAMPLES = 1 << 16
"""Upper bound on the samples of a frame or of a soft token."""

AUDIO_SETTINGS: dict[str, Any] = {
    "dither": 0.0,
    "fft_overdrive": False,
    "input_scale_factor": 1.0,
    "padding_side": "right",
    "padding_value": 0.0,
    "per_bin_mean": None,
    "per_bin_stddev": None,
    "preemphasis": 0.0,
}
"""Settings of transformers' feature extractor that are the same in every Gemma 4. Other values are rejected."""

READ = {
    "audio_samples_per_token",
    "feature_extractor_type",
    "feature_size",
    "fft_length",
    "frame_length",
    "hop_length",
    "max_frequency",
    "mel_floor",
    "min_frequency",
    "sampling_rate",
}
"""Settings from which AudioRules is made."""

WITHOUT_EFFECT = {"preemphasis_htk_flavor", "processor_class", "return_attention_mask"}
"""Settings that change nothing."""

MAX_OF_EITHER = 10_000
"""Maximum tokens of a segment, and maximum milliseconds of a token."""

COARSE = 0.002
"""Seconds. The unit of edit lists is shorter: programs count in 1/1000 s or 1/600 s."""


@dataclass(frozen=True)
class AudioRules:
    """How audio becomes a model's inputs.

    rate: samples per second. longest: maximum samples of one segment. frames: rules of the tower's spectrogram, or, for
    models without an audio tower, the number of raw samples in one soft token.
    """

    rate: int
    longest: int
    frames: MelRules | int

    @property
    def least(self) -> int:
        """The minimum number of samples for one soft token."""
        return self.frames.least if isinstance(self.frames, MelRules) else 1

    def soft_tokens(self, samples: int) -> int:
        """Return the number of soft tokens of a segment of `samples` samples, as `Gemma4Processor` counts them."""
        if isinstance(self.frames, MelRules):
            return -(-self.frames.frames(samples) // 4)
        return -(-samples // self.frames)


def audio_rules(processor: Mapping[str, Any]) -> AudioRules:
    """Read the audio rules from a parsed processor_config.json. Raises CheckpointError for unknown settings or
    values."""
    settings = section_of(processor, _SECTION)
    _check(settings)
    rate = size_in(settings, _SECTION, "sampling_rate", 16_000, least=LOWEST_RATE, most=HIGHEST_RATE)
    milliseconds = size_in(processor, "the whole", "audio_seq_length", AUDIO_TOKENS, most=MAX_OF_EITHER)
    milliseconds *= size_in(processor, "the whole", "audio_ms_per_token", AUDIO_TOKEN_MS, most=MAX_OF_EITHER)
    unified = "Unified" in str(settings.get("feature_extractor_type", processor.get("processor_class", "")))
    return AudioRules(
        rate=rate,
        longest=milliseconds * rate // 1000,
        frames=size_in(settings, _SECTION, "audio_samples_per_token", 640, most=MAX_FRAME_SAMPLES)
        if unified
        else _mel_rules(settings, rate),
    )


def _check(settings: Mapping[str, Any]) -> None:
    for name, found in settings.items():
        if name in AUDIO_SETTINGS and found != AUDIO_SETTINGS[name]:
            raise CheckpointError(
                f"processor_config.json sets {name} of feature_extractor to {found}; "
                f"only {AUDIO_SETTINGS[name]} is known."
            )
        if name not in AUDIO_SETTINGS and name not in READ and name not in WITHOUT_EFFECT:
            raise CheckpointError(
                f"processor_config.json sets {name} of feature_extractor to {found}, which is unknown."
            )


def _number(settings: Mapping[str, Any], name: str, default: float) -> float:
    found = settings.get(name, default)
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found <= HIGHEST_RATE:
        raise CheckpointError(
            f"processor_config.json sets {name} of {_SECTION} to {str(found)[:40]}; expected a number from 0 to "
            f"{HIGHEST_RATE}."
        )
    return float(found)


def _mel_rules(settings: Mapping[str, Any], rate: int) -> MelRules:
    rules = MelRules(
        rate=rate,
        frame=size_in(settings, _SECTION, "frame_length", rate // 50, most=MAX_FRAME_SAMPLES),
        hop=size_in(settings, _SECTION, "hop_length", rate // 100, most=MAX_FRAME_SAMPLES),
        transform=size_in(settings, _SECTION, "fft_length", 512, most=MAX_FRAME_SAMPLES),
        bins=size_in(settings, _SECTION, "feature_size", 128, most=1024),
        lowest=_number(settings, "min_frequency", 0.0),
        highest=_number(settings, "max_frequency", 8000.0),
        floor=_number(settings, "mel_floor", 1e-3),
    )
    if rules.transform & (rules.transform - 1) or rules.transform < rules.frame:
        raise CheckpointError(
            f"processor_config.json sets fft_length of feature_extractor to {rules.transform}; it must be a power of "
            f"two of at least frame_length, {rules.frame}."
        )
    return rules
