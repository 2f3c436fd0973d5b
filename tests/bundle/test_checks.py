"""Checks of manifests and plans. The tab's tests run the same cases."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gemtab.bundle.folder import parse_manifest, parse_plan
from gemtab.bundle.plan_check import check_plan
from gemtab.errors import BundleError

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures" / "bundle_checks.json").read_text())
FILES = {"text": "plan/f32.json", "seeing": "plan/f32.json", "tower": "plan/image.f32.json"}
MANIFEST = Path("gemtab.json")


def check(toy: Any, file: str) -> None:
    manifest = parse_manifest(json.dumps(toy["manifest"]), MANIFEST)
    plan = parse_plan(json.dumps(toy["plan"]).encode(), Path(file))
    check_plan(plan, manifest, file)


def change(place: Any, steps: list[Any], value: Any, remove: bool) -> None:
    *outer, last = steps
    for step in outer:
        place = place[step]
    if remove:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value


def entry(toy: Any, of: str) -> Any:
    return toy["manifest"]["towers"]["image"][0] if of == "tower" else toy["manifest"]["plans"][0]


@pytest.mark.parametrize("of", FILES)
def test_the_toys_are_valid(of: str) -> None:
    check(FIXTURE[of], FILES[of])


@pytest.mark.parametrize("case", FIXTURE["cases"], ids=lambda case: f"{case['of']}: {case['name']}")
def test_a_bundle_is_rejected(case: Any) -> None:
    toy = copy.deepcopy(FIXTURE[case["of"]])
    part = entry(toy, case["of"]) if case["part"] == "entry" else toy[case["part"]]
    for kind, steps, *value in case["change"]:
        change(part, steps, value[0] if value else None, kind == "remove")
    with pytest.raises(BundleError) as error:
        check(toy, FILES[case["of"]])
    assert case["says"] in str(error.value)


def test_an_entry_is_not_both_text_model_and_tower() -> None:
    toy = copy.deepcopy(FIXTURE["text"])
    toy["manifest"]["towers"] = {"image": toy["manifest"]["plans"]}
    with pytest.raises(BundleError, match="the manifest says that it is a tower"):
        check(toy, FILES["text"])
