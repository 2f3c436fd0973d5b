"""Greedy tokens are the same on all backends after images and audio."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gemtab.checkpoint import load_spec
from playwright_tests.identity.conftest import IdentityTable, Tabs
from playwright_tests.identity.media import Writer
from playwright_tests.identity.models import MEDIA_CASES as CASES
from playwright_tests.identity.models import Case
from playwright_tests.identity.playing import check_ties, play
from tests.tables import IDENTITY_LINE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_greedy_tokens_after_media_are_the_same_everywhere(
    case: Case,
    source_of: Callable[[Case], Path],
    identity_bundles: dict[str, Path],
    identity_site: str,
    identity_table: IdentityTable,
    tabs: Tabs,
    record_property: Callable[[str, object], None],
) -> None:
    folder = identity_bundles[case.name]
    turns = Writer(load_spec(folder)).turns()
    line = play(case, turns, source_of(case), folder, identity_site, tabs, identity_table)
    record_property(IDENTITY_LINE, f"{line}  (with media)")


def test_near_ties_are_rare(identity_table: IdentityTable) -> None:
    check_ties(identity_table)
