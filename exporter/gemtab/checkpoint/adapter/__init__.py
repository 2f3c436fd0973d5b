"""Apply peft's LoRA adapters to a checkpoint's tensors as they are read."""

from gemtab.checkpoint.adapter.merge import adapted, adapted_spec, adapter_notes, with_vocabulary

__all__ = ["adapted", "adapted_spec", "adapter_notes", "with_vocabulary"]
