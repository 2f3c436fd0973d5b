"""Gemma 3's markers on the small tokenizer, and a template that writes them as Gemma 3's own does."""

import json
import shutil
from pathlib import Path

from tests.variants import TINY

MARKERS = {"<|turn>": "<start_of_turn>", "<turn|>": "<end_of_turn>"}

TEMPLATE = """{{ bos_token }}
{%- set system = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else '' -%}
{%- for message in (messages[1:] if system else messages) -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif -%}
    {{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}
    {{- (system if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""


def write_chat_files(folder: Path) -> None:
    """Tokenizer, template and generation config of a small Gemma 3 that chats."""
    text = (TINY / "tokenizer.json").read_text()
    for ours, theirs in MARKERS.items():
        text = text.replace(json.dumps(ours), json.dumps(theirs))
    (folder / "tokenizer.json").write_text(text)
    tokens = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk")}
    (folder / "tokenizer_config.json").write_text(json.dumps({**tokens, "tokenizer_class": "GemmaTokenizer"}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    shutil.copyfile(TINY / "generation_config.json", folder / "generation_config.json")
