"""Greedy tokens are the same in the reference, ONNX, the Python executor, Chromium and Firefox."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gemtab.bundle.folder import load_plan
from gemtab.bundle.plan import StateBuffer
from gemtab.checkpoint import load_spec
from playwright_tests.identity.conftest import IdentityTable, Tabs
from playwright_tests.identity.media import Turn
from playwright_tests.identity.models import CASES, Case, conversation
from playwright_tests.identity.playing import check_ties, play
from tests.tables import IDENTITY_LINE


def long_turns(folder: Path, vocabulary: int) -> list[Turn]:
    """Play a conversation of the length that the bundle's rings need."""
    plan = load_plan(folder / "plan" / "f32.json")
    rings = [buffer.ring for buffer in plan.buffers.values() if isinstance(buffer, StateBuffer) and buffer.ring]
    assert rings, "no ring comes round within this context"
    chunk, longest = plan.programs["fill"].max_tokens, max(rings, key=lambda ring: ring.rows)
    found = conversation(chunk, longest.window, longest.rows, vocabulary)
    length = sum(len(turn.prompt) + turn.steps for turn in found)
    assert 3 * longest.rows <= length <= plan.context, f"{length} tokens, rings of {longest.rows} rows"
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_greedy_tokens_are_the_same_everywhere(
    case: Case,
    source_of: Callable[[Case], Path],
    identity_bundles: dict[str, Path],
    identity_site: str,
    identity_table: IdentityTable,
    tabs: Tabs,
    record_property: Callable[[str, object], None],
) -> None:
    folder = identity_bundles[case.name]
    turns = long_turns(folder, load_spec(folder).text.vocabulary)
    record_property(IDENTITY_LINE, play(case, turns, source_of(case), folder, identity_site, tabs, identity_table))


def test_near_ties_are_rare(identity_table: IdentityTable) -> None:
    check_ties(identity_table)
