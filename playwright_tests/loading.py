"""JavaScript's memory during a load: heaps and ArrayBuffers of the page and its worker together."""

import itertools
import json
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import CDPSession, Page

from playwright_tests.in_page import in_page

MAX_BYTES = 256 << 20
"""Bound of memory in bytes, independent of the model's size."""

SAMPLE_MS = 20


def set_quota(page: Page, site: str, size: int) -> None:
    """Bytes that a site may store. In a private window, as in tests, the browser's own quota varies."""
    session = page.context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": site, "quotaSize": size})


class Heaps:
    """The heaps of a page and of its workers, as V8 reports them through CDP's Runtime.getHeapUsage: `usedSize` is the
    content of the heap, uncollected garbage included, `embedderHeapUsedSize` the browser's objects,
    `backingStorageSize` the contents of ArrayBuffers. A heap reports when its thread is free."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._numbers = itertools.count(1)
        self._answers: dict[int, dict[str, float]] = {}
        self._workers: list[str] = []
        self._session.on("Target.attachedToTarget", lambda event: self._workers.append(event["sessionId"]))
        self._session.on("Target.receivedMessageFromTarget", self._receive)
        attach = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False}
        self._session.send("Target.setAutoAttach", attach)

    @property
    def workers(self) -> int:
        """Return the number of workers."""
        return len(self._workers)

    def bytes(self) -> list[int]:
        """Return the bytes of the page and of each worker."""
        asked = [self._ask(worker) for worker in self._workers]
        sizes = [_sum(self._session.send("Runtime.getHeapUsage"))]
        for number in asked:
            while number not in self._answers:
                self._page.wait_for_timeout(SAMPLE_MS)
            sizes.append(_sum(self._answers.pop(number)))
        return sizes

    def _ask(self, worker: str) -> int:
        number = next(self._numbers)
        message = json.dumps({"id": number, "method": "Runtime.getHeapUsage"})
        self._session.send("Target.sendMessageToTarget", {"sessionId": worker, "message": message})
        return number

    def _receive(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message["result"]


def _sum(usage: dict[str, float]) -> int:
    return int(usage["usedSize"] + usage["embedderHeapUsedSize"] + usage["backingStorageSize"])


@dataclass(frozen=True)
class Watched:
    """Bytes of page and worker, and the stage of loading, of each sample."""

    samples: list[list[int]]
    stages: list[str]

    @property
    def most(self) -> int:
        """Return the largest sum."""
        return max(map(sum, self.samples))

    def by_stage(self) -> dict[str, int]:
        """Return the largest sum of each stage, in order."""
        pairs = list(zip(self.samples, self.stages, strict=True))
        return {stage: max(sum(one) for one, other in pairs if other == stage) for stage in dict.fromkeys(self.stages)}

    def __str__(self) -> str:
        parts = " + ".join(f"{size / 2**20:.0f}" for size in max(self.samples, key=sum))
        words = ", ".join(f"{stage} {size >> 20}" for stage, size in self.by_stage().items())
        return f"at most {parts} MiB in page and worker ({words}; {len(self.samples)} samples)"


def watch_loading(page: Page, site: str, bundle: str, options: dict[str, Any]) -> Watched:
    """Load a bundle that `site` serves, and take samples meanwhile. Fails where the load fails."""
    page.goto(site + "example.html")
    heaps = Heaps(page)
    page.evaluate(in_page("gemma.startLoad"), [site, bundle, options])
    watched = Watched([], [])
    while (state := page.evaluate("state")) == "loading":
        watched.samples.append(heaps.bytes())
        # After `ready`, the tokenizer is loaded for a chat.
        watched.stages.append(page.evaluate("stage"))
        page.wait_for_timeout(SAMPLE_MS)
    assert state == "ready"
    assert heaps.workers == 1
    return watched
