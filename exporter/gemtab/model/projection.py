"""Parts that both towers share: clipped linears, and the projection into the text stack."""

from gemtab.graph import GraphBuilder, Value, Weight


def clipped_linear(b: GraphBuilder, tower: str, name: str, x: Value, rows: int, clipped: bool) -> Value:
    """x [..., columns] times the matrix `name` of a tower (`vision` or `audio`): [..., rows].

    clipped: input and output are clipped to bounds, which are scalars of the checkpoint.
    """
    source = f"{tower}_tower.{name}"

    def bound(which: str) -> Weight:
        return b.weight(f"{tower}.{name}.{which}", (1,), "bound", f"{source}.{which}")

    columns = x.shape[-1]
    assert isinstance(columns, int)
    weight = b.weight(f"{tower}.{name}", (rows, columns), "matrix", f"{source}.linear.weight")
    if not clipped:
        return b.linear(x, weight)
    y = b.linear(b.clip(x, bound("input_min"), bound("input_max")), weight)
    return b.clip(y, bound("output_min"), bound("output_max"))


def project(b: GraphBuilder, source: str, x: Value, eps: float, hidden: int) -> Value:
    """Project features x [T, width] by the matrix `source` to rows [T, hidden] that replace token embeddings."""
    width = x.shape[-1]
    assert isinstance(width, int)
    with b.at("project"):
        weight = b.weight(source.removesuffix(".weight"), (hidden, width), "matrix", source)
        return b.linear(b.rms_norm(x, None, eps), weight)
