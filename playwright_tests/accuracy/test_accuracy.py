"""models/tiny in a tab answers questions about new files as often correctly as in transformers.

A few files show whether tab and Python executor write the same ids. Whether the model is good enough takes all files:
`make accuracy`, a quarter of an hour on a software GPU.
"""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from gemtab.backends.webgpu.engine.encoder import TowerEncoder
from gemtab.backends.webgpu.engine.text_engine import TextEngine
from gemtab.bundle.folder import read_manifest
from gemtab.chat import ChatSession
from gemtab.chat.reader import MediaReader
from gemtab.chat.session import Content, MediumPart, TextPart
from gemtab.media.audio import load_audio
from models.training import tokenizer
from models.training.evaluate import FLOORS, Asked, Judge
from playwright_tests.accuracy.cases import Case
from playwright_tests.accuracy.drawings import drawings
from playwright_tests.accuracy.recordings import recordings
from playwright_tests.conftest import TINY
from playwright_tests.in_page import in_page
from tests.tables import ACCURACY_LINE

MAX_TOKENS = 24
ALL = 200
"""Number of cases of a kind that suffice to test the model's promised accuracy."""


TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".wav": "audio/wav"}


def asked_in_chromium(page: Page, site: str, bundle: str, cases: Sequence[Case]) -> list[list[int]]:
    """Return the tab's ids."""
    page.goto(site + "example.html")
    asked = [
        {
            "kind": case.kind,
            "type": TYPES[case.suffix],
            "data": base64.b64encode(case.content).decode(),
            "question": case.question,
        }
        for case in cases
    ]
    written: list[list[int]] = page.evaluate(in_page("gemma.askAbout"), [site, bundle, asked, MAX_TOKENS])
    return written


def asked_in_python(folder: Path, cases: Sequence[Case]) -> list[list[int]]:
    """Return the Python executor's ids."""
    executor, reader = TextEngine(folder), MediaReader(folder, read_manifest(folder))
    session = ChatSession(folder, executor, encoder=TowerEncoder(folder, executor))
    written = []
    for case in cases:
        session.messages = []
        medium = (reader.image if case.kind == "image" else reader.audio)(case.content)
        parts: Content = [MediumPart(type=case.kind, medium=medium), TextPart(type="text", text=case.question)]
        for _ in session.send(parts, max_tokens=MAX_TOKENS):
            pass
        written.append(session.stats.ids)
    return written


def asked_in_transformers(cases: Sequence[Case]) -> Iterable[bool]:
    """Return whether each of transformers' answers is correct, in any order."""
    return (case.right for case in Judge(TINY).answers([_asked(case) for case in cases]))


def _asked(case: Case) -> Asked:
    if case.kind == "image":
        return Asked(case.example, image=Image.open(io.BytesIO(case.content)))
    samples, _ = load_audio(case.content)
    return Asked(case.example, audio=samples)


@pytest.mark.parametrize(("cases", "floor"), [(drawings, FLOORS["caption_two"]), (recordings, FLOORS["unseen_voice"])])
def test_unseen_files_are_understood_as_well_as_by_transformers(
    cases: Callable[[], list[Case]],
    floor: float,
    bundles: dict[str, Path],
    served: str,
    page: Page,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    wanted: int = request.config.getoption("--accuracy-cases")
    asked = cases()
    asked = asked[:: max(1, len(asked) // wanted)]
    ids = asked_in_chromium(page, served, "tiny", asked)
    text = tokenizer.load(TINY)
    ours = [case.example.is_right(text.decode(one)) for case, one in zip(asked, ids, strict=True)]
    theirs = list(asked_in_transformers(asked))
    line = f"{cases.__name__:12} Chromium {sum(ours)}/{len(ours)}   transformers {sum(theirs)}/{len(theirs)}"
    record_property(ACCURACY_LINE, line)
    assert ids == asked_in_python(bundles["tiny"], asked)
    if wanted >= ALL:
        assert _share(theirs) >= floor, line
        # Three cases in 200: the bundle's weights have 4 bits, the checkpoint's 16.
        assert _share(ours) >= max(floor, _share(theirs) - 0.015), line


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)
