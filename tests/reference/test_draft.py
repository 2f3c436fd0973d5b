"""Draft models on the reference backend against transformers, alone and with the caches of a target."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from transformers.generation.candidate_generator import SinglePositionMultiTokenCandidateGenerator

from gemtab.backends.reference import KV, Caches, Reference
from gemtab.checkpoint import Checkpoint, CheckpointWeights, load_spec
from gemtab.model.draft import draft_graph
from gemtab.model.spec import ModelSpec
from gemtab.model.text import embed_graph, text_graph
from gemtab.parity.tolerances import TRANSFORMERS_MAX
from tests.assistants import ASSISTANTS, Draft, assistant, load_assistant, random_draft, transformers_draft
from tests.reference.test_text import concrete, inputs, opened, prompt
from tests.variants import VOCABULARY, load_transformers

Folder = Callable[[str], Path]

# Windows have 8 positions, of which a draft model sees one more: before, at and after the first that it does not see.
PASTS = [1, 8, 9, 10, 11, 57]


def drafting(folder: Path) -> Reference:
    """The draft graph of the draft model in `folder`."""
    spec = load_spec(folder)
    assert spec.assistant is not None
    weights = CheckpointWeights(Checkpoint.open(folder), spec)
    return Reference(draft_graph(spec.text, spec.assistant), weights)


@pytest.mark.parametrize("name", ASSISTANTS)
def test_a_draft_is_that_of_transformers(name: str, tmp_path: Path) -> None:
    folder = assistant(name, tmp_path)
    reference, model = drafting(folder), load_assistant(folder)
    chosen = set()
    for past in PASTS:
        draft = random_draft(name, past)
        expected = transformers_draft(model, draft)
        found = reference.run(draft.graph_inputs, draft.graph_caches)
        assert found.keys() == expected.keys()
        for output in expected:
            assert found[output].shape == expected[output].shape
            assert float((found[output] - expected[output]).abs().max()) < TRANSFORMERS_MAX
        chosen.add(int(expected["logits"].argmax()))
    assert len(chosen) > len(PASTS) // 2, "the logits do not depend on what is given enough to test"


def test_sliding_layers_see_the_last_positions_of_the_window_and_one_more(tmp_path: Path) -> None:
    reference, draft = drafting(assistant("plain", tmp_path)), random_draft("plain", 20)
    expected = reference.run(draft.graph_inputs, draft.graph_caches)["logits"]

    def changes(kind: str, position: int) -> bool:
        values = draft.caches[kind].v.clone()
        values[position] += 1
        caches = {**draft.graph_caches, f"kv.{kind}": KV(draft.caches[kind].k, values)}
        return not torch.equal(reference.run(draft.graph_inputs, caches)["logits"], expected)

    assert [position for position in range(20) if changes("sliding", position)] == [*range(11, 20)]
    assert all(changes("full", position) for position in range(20))


def test_the_targets_caches_are_left_as_they_are(tmp_path: Path) -> None:
    reference, draft = drafting(assistant("centroids", tmp_path)), random_draft("centroids", 20)
    caches = draft.graph_caches
    reference.run(draft.graph_inputs, caches)
    assert caches == draft.graph_caches


def test_tokens_of_other_centroids_are_one_below_the_lowest(tmp_path: Path) -> None:
    draft = random_draft("centroids", 12)
    (logits,) = drafting(assistant("centroids", tmp_path)).run(draft.graph_inputs, draft.graph_caches)["logits"]
    lowest = logits.min()
    scored = logits[logits > lowest]
    assert len(scored) == 3 * VOCABULARY // 24
    assert float(scored.min() - lowest) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "centroids", "untied"])
def test_drafts_after_a_prompt_are_those_of_transformers(name: str, checkpoint_folder: Folder, tmp_path: Path) -> None:
    """Compare drafts with a target: the reference's target against transformers' target.

    Two drafts only: the differences in the hidden state double with each draft.
    """
    folder, target = assistant(name, tmp_path), checkpoint_folder(ASSISTANTS[name].target)
    ids, count = prompt(), 2
    expected_ids, expected = transformers_candidates(load_assistant(folder), load_transformers(target), ids, count)

    spec, weights = opened(target)
    embedding, reference = Reference(embed_graph(spec.text), weights), drafting(folder)
    hidden, caches, next_id = handed_over(spec, weights, ids)
    for step in range(count):
        assert next_id == expected_ids[len(ids) + step]
        embedded = embedding.run({"input_ids": torch.tensor([next_id])}, {})["inputs_embeds"]
        draft = Draft(torch.cat([embedded, hidden], dim=-1), len(ids), caches)
        found = reference.run(draft.graph_inputs, draft.graph_caches)
        assert float((found["logits"][0] - expected[step]).abs().max()) < TRANSFORMERS_MAX
        hidden, next_id = found["last_hidden_state"], int(found["logits"].argmax())


def transformers_candidates(
    assistant_model: Any, target: Any, ids: list[int], count: int
) -> tuple[list[int], torch.Tensor]:
    """Return all ids, and the logits [count, vocabulary] of `count` drafts after the prompt `ids` and one token of the
    target."""
    assistant_model.generation_config.num_assistant_tokens = count
    generator = SinglePositionMultiTokenCandidateGenerator(
        assistant_model, target.get_input_embeddings(), GenerationConfig(max_length=2 * len(ids))
    )
    with torch.inference_mode():
        outputs = target(torch.tensor([ids]), output_hidden_states=True, return_shared_kv_states=True)
        taken = torch.tensor([[*ids, int(outputs.logits[0, -1].argmax())]])
        mask = {"attention_mask": torch.ones_like(taken)}
        candidates, logits = generator.get_candidates(taken, mask, outputs, is_first_iteration=False, n_last_matches=0)
    assert logits is not None
    return candidates[0].tolist(), logits[0]


def handed_over(spec: ModelSpec, weights: CheckpointWeights, ids: list[int]) -> tuple[torch.Tensor, dict[str, KV], int]:
    """The state of a target after a prompt: the last token's hidden state [1, hidden] after the final norm, the last
    cache of each kind, and the most likely next token."""
    graph, caches = text_graph(spec.text), Caches()
    values: dict[str, Any] = inputs(ids)
    hidden = torch.empty(0)
    for node, results in Reference(graph, weights).steps(values, caches):
        values |= results
        if node.label == "norm":
            hidden = values[node.output.name][-1:]
    last = {layer.attention.kind: layer.index for layer in spec.text.layers if layer.owns_kv}
    logits = values[graph.outputs["logits"].name]
    return hidden, {kind: caches[f"kv.{index}"] for kind, index in last.items()}, int(logits[-1].argmax())


@pytest.mark.parametrize("name", ["plain", "centroids"])
def test_every_op_returns_the_shape_that_the_builder_says(name: str, tmp_path: Path) -> None:
    spec = load_spec(assistant(name, tmp_path))
    assert spec.assistant is not None
    graph = draft_graph(spec.text, spec.assistant)
    draft = random_draft(name, 9)
    values: dict[str, Any] = {**draft.graph_inputs, **draft.graph_caches}
    weights = CheckpointWeights(Checkpoint.open(tmp_path), spec)
    for node, results in Reference(graph, weights).steps(values, {}):
        values |= results
        result = results[node.output.name]
        assert isinstance(result, torch.Tensor)
        assert node.output.dtype == ("f32" if result.is_floating_point() else "i32"), f"{node.op} at {node.label}"
        assert tuple(result.shape) == concrete(node.output.shape, {"T": 1}), f"{node.op} at {node.label}"
