"""Progress that nobody watches."""


class Silent:
    """See `gemtab.export.Progress`."""

    def begin(self, stage: str, total: int) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass
