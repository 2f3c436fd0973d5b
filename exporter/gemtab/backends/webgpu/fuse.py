"""Fusion of a text stack: turns its nodes into steps that have kernels."""

from dataclasses import replace

from gemtab.backends.webgpu.fusion import FusedGraph, Fusion, Handler, ranges, unsupported
from gemtab.backends.webgpu.steps import (
    AddNorm,
    Attend,
    Cache,
    CombineExperts,
    Embed,
    ExpertMatmul,
    InsertRows,
    Matmul,
    Picked,
    QkvHeads,
    Route,
)
from gemtab.errors import CheckpointError
from gemtab.graph import Graph, Node, Value, Weight, known
from gemtab.quantize import BLOCK


def fuse(graph: Graph) -> FusedGraph:
    """Return the steps of `graph`, for all activation plans and programs. Reads no weights. Raises CheckpointError for
    an op without a kernel."""
    return _TextFusion(graph).run()


def _other(add: Node, operand: Value) -> Value:
    """Return the operand of `add` that is not `operand`."""
    return add.value(1) if add.value(0) == operand else add.value(0)


class _TextFusion(Fusion):
    def handlers(self) -> dict[str, Handler]:
        return {
            "embed": self._embed,
            "insert_rows": self._insert_rows,
            "linear": self._linear,
            "rms_norm": self._rms_norm,
            "kv_write": self._kv_write,
            "attention": self._attention,
            "route_top_k": self._route,
            "expert_linear": self._expert_linear,
            "scale": self._scale,
            "reshape": self._reshape,
            **dict.fromkeys(("replace_ids", "slice", "pick", "rope", "weighted_sum"), self._read_by_consumer),
        }

    def _chain(self, value: Value, *ops: str) -> list[Node]:
        """Return the chain of nodes that ends in `value`, the last node first. Their ops must be `ops`."""
        chain = []
        for op in ops:
            node = self._producer[value.name]
            if node.op != op:
                raise CheckpointError(f"{node.label}: expected {op} before attention, found {node.op}.")
            chain.append(node)
            value = node.value(0)
        return chain

    # --- steps ------------------------------------------------------------------------------------------

    def _embed(self, node: Node) -> None:
        ids, replacement = node.value(0), 0
        replaced: tuple[int, ...] = ()
        source = self._producer.get(ids.name)
        if source is not None:
            listed = source.attrs["replaced"]
            assert isinstance(listed, tuple)
            ids, replaced, replacement = source.value(0), listed, source.integer("replacement")
        scale, columns, table = node.number("scale"), node.integer("columns"), node.weight(1)
        group = table.shape[1] // table.groups
        if table.groups > 1 and group % BLOCK:
            raise CheckpointError(
                f"{table.name} has a scale for each {group} columns; expected a multiple of {BLOCK}, which kernels "
                "read at once."
            )
        self._steps.append(Embed(ids, table, scale, columns, replaced, replacement, node.output, node.label))

    def _insert_rows(self, node: Node) -> None:
        placeholders = node.attrs["placeholders"]
        assert isinstance(placeholders, tuple)
        x, ids, rows = (self._resolve(node.value(i)) for i in range(3))
        # In place, since x has no other reader.
        assert self._only_consumer(node.value(0), "insert_rows"), f"{node.label}: another op reads the text's rows"
        self._alias[node.output.name] = x
        self._steps.append(InsertRows(x, ids, rows, placeholders, node.label))

    def _linear(self, node: Node) -> None:
        start, stop = self._rows_used(node)
        out, factor = node.output, 1.0
        if scaled := self._only_consumer(out, "scale"):
            self._absorb(scaled)
            out, factor = scaled.output, scaled.number("factor")
        x = node.value(0)
        source = self._producer.get(x.name)
        x_factor = 1.0
        if source is not None and source.op == "scale" and id(source) not in self._absorbed:
            x, x_factor = source.value(0), source.number("factor")
        step = Matmul(self._resolve(x), node.weight(1), start, stop, out, node.label, factor, ranges=ranges(node))
        # Rounding comes between the two factors. Without rounding, they become one factor.
        step = replace(step, x_factor=x_factor) if step.ranges else replace(step, factor=factor * x_factor)
        self._steps.append(self._with_epilogue(step))

    def _with_epilogue(self, step: Matmul) -> Matmul:
        if glu := self._only_consumer(step.out, "glu"):
            self._absorb(glu)
            return replace(step, out=glu.output, epilogue="glu")
        if cap := self._only_consumer(step.out, "softcap"):
            self._absorb(cap)
            return replace(step, out=cap.output, epilogue="softcap", cap=cap.number("cap"))
        if (gelu := self._only_consumer(step.out, "gelu_tanh")) and (mul := self._only_consumer(gelu.output, "mul")):
            self._absorb(gelu, mul)
            return replace(step, out=mul.output, epilogue="gelu_mul", operand=self._picked(mul.value(1)))
        return step

    def _scale(self, node: Node) -> None:
        """Leave the factor to the readers, which must be linears."""
        if any(reader.op != "linear" for reader in self._consumers[node.output.name]):
            raise unsupported(node)

    def _picked(self, value: Value) -> Picked:
        node = self._producer.get(value.name)
        if node is not None and node.op == "pick":
            base = node.value(0)
            return Picked(self._resolve(base), node.integer("index"), known(base.shape[1]))
        return Picked(self._resolve(value), 0, 1)

    def _rows_used(self, node: Node) -> tuple[int, int]:
        """Return the rows (start, stop) of a linear's weight whose products are read."""
        consumers = self._consumers[node.output.name]
        if not consumers or any(consumer.op != "slice" for consumer in consumers):
            return 0, node.integer("rows")
        starts = [consumer.integer("start") for consumer in consumers]
        stops = [consumer.integer("stop") for consumer in consumers]
        return min(starts), max(stops)

    # --- experts ----------------------------------------------------------------------------------------

    def _route(self, node: Node) -> None:
        weights, ids = node.outputs
        self._steps.append(Route(self._resolve(node.value(0)), node.weight(1), weights, ids, node.label))

    def _expert_linear(self, node: Node) -> None:
        x, ids = self._resolve(node.value(0)), node.value(1)
        step = ExpertMatmul(x, ids, node.weight(2), node.output, node.label)
        if glu := self._only_consumer(step.out, "glu"):
            self._absorb(glu)
            step = replace(step, out=glu.output, epilogue="glu")
        self._steps.append(step)

    def _combine_experts(self, dense: Node, combined: Node, add: Node) -> None:
        """Append the step that norms and adds the dense MLP's output and the weighted sum of the experts."""
        self._absorb(combined, add)
        total = self._producer[combined.value(0).name]
        self._steps.append(
            CombineExperts(
                dense=self._resolve(dense.value(0)),
                dense_norm=dense.weight(1),
                slots=self._resolve(total.value(0)),
                weights=total.value(1),
                combined_norm=combined.weight(1),
                out=add.output,
                eps=combined.number("eps"),
                label=combined.label,
            )
        )

    def _combined_with(self, norm: Node, add: Node) -> Node | None:
        """Return the norm of a weighted sum that `add` adds to `norm`; None if `add` adds another value."""
        other = self._producer.get(_other(add, norm.output).name)
        if other is None or other.op != "rms_norm" or len(other.inputs) != 2:
            return None
        total = self._producer.get(other.value(0).name)
        return other if total is not None and total.op == "weighted_sum" else None

    # --- norms ------------------------------------------------------------------------------------------

    def _rms_norm(self, node: Node) -> None:
        if any(consumer.op in ("rope", "kv_write") for consumer in self._consumers[node.output.name]):
            return  # a norm of heads: QkvHeads contains it
        if add := self._only_consumer(node.output, "add"):
            if self._combined_with(node, add):
                return  # the dense MLP's norm: CombineExperts contains it, and comes with the experts' norm
            dense = self._producer.get(_other(add, node.output).name)
            if dense is not None and dense.op == "rms_norm" and self._combined_with(dense, add) is node:
                self._combine_experts(dense, node, add)
            else:
                self._add_norm(node, add)
        else:
            self._norm_alone(node)

    def _norm_alone(self, node: Node) -> None:
        """Append a norm that no earlier step contains, together with a router's norm of the same value."""
        weight, normed = self._weight_and_output(node)
        x = self._resolve(node.value(0))
        # The label of the step before, as if that step contained the norm.
        before = self._producer.get(x.name)
        label = node.label if before is None else before.label
        step = AddNorm(x, None, None, 1.0, None, None, weight, normed, node.number("eps"), label)
        others = [other for other in self._consumers[node.value(0).name] if other is not node]
        router = next((other for other in others if other.op == "rms_norm" and self._weight_mul(other)), None)
        if router is not None and id(router) not in self._absorbed and router.attrs["eps"] == node.attrs["eps"]:
            self._absorb(router)
            second_norm, second = self._weight_and_output(router)
            step = replace(step, second_norm=second_norm, second=second)
        self._steps.append(step)

    def _weight_mul(self, norm: Node) -> Node | None:
        """Return the multiplication by a vector after a norm without a weight, as in a router; None if there is
        none."""
        mul = self._only_consumer(norm.output, "mul") if len(norm.inputs) == 1 else None
        if mul is None or not isinstance(mul.inputs[1], Weight):
            return None
        return mul if mul.weight(1).shape == norm.output.shape[-1:] else None

    def _weight_and_output(self, norm: Node) -> tuple[Weight | None, Value]:
        """Return a norm's weight and output. Absorbs a multiplication by a vector that follows."""
        mul = self._weight_mul(norm)
        if mul is None:
            return norm.weight(1) if len(norm.inputs) == 2 else None, norm.output
        self._absorb(mul)
        return mul.weight(1), mul.output

    def _add_norm(self, norm: Node, add: Node) -> None:
        """Append norm -> add -> [scale or mul by a scalar] -> [the next norm] as one step."""
        out, factor, scalar = add.output, 1.0, None
        self._absorb(add)
        if scaled := self._only_consumer(out, "scale"):
            self._absorb(scaled)
            out, factor = scaled.output, scaled.number("factor")
        elif (mul := self._only_consumer(out, "mul")) and isinstance(mul.inputs[1], Weight):
            self._absorb(mul)
            out, scalar = mul.output, mul.weight(1)
        following = [one for one in self._consumers[out.name] if one.op == "rms_norm" and len(one.inputs) == 2]
        next_norm = following[0] if following else None
        if next_norm is not None:
            self._absorb(next_norm)
        needed = len(self._consumers[out.name]) > (next_norm is not None) or out in self._graph.outputs.values()
        self._steps.append(
            AddNorm(
                x=self._resolve(_other(add, norm.output)),
                y=self._resolve(norm.value(0)),
                norm=norm.weight(1),
                factor=factor,
                scalar=scalar,
                sum=out if needed else None,
                next_norm=None if next_norm is None else next_norm.weight(1),
                normed=None if next_norm is None else next_norm.output,
                eps=norm.number("eps"),
                label=norm.label,
            )
        )

    # --- attention --------------------------------------------------------------------------------------

    def _cache(self, write: Node) -> Cache:
        _, kv_heads, size = write.output.shape
        window = write.attrs["window"]
        assert window is None or isinstance(window, int)
        return Cache(str(write.attrs["cache"]), known(kv_heads), known(size), window)

    def _kv_write(self, write: Node) -> None:
        """Append the heads of k and v, with those of q if an attention reads the same qkv."""
        rope, k_norm, _, k_slice = self._chain(write.value(0), "rope", "rms_norm", "reshape", "slice")
        v_normed = self._producer[write.value(1).name].op == "rms_norm"
        *_, v_slice = self._chain(write.value(1), *(("rms_norm",) if v_normed else ()), "reshape", "slice")
        readers = [one for one in self._consumers[write.output.name] if self._qkv_of(one) == k_slice.value(0)]
        cache = self._cache(write)
        q = self._chain(readers[0].value(0), "rope", "rms_norm", "reshape", "slice") if readers else None
        self._heads(q, rope, k_slice.value(0), k_norm.weight(1), cache, v_slice is k_slice, write.label, v_normed)

    def _qkv_of(self, attention: Node) -> Value:
        """Return the qkv whose slice the queries are."""
        return self._chain(attention.value(0), "rope", "rms_norm", "reshape", "slice")[-1].value(0)

    def _heads(
        self,
        q: list[Node] | None,
        rope: Node,
        qkv: Value,
        k_norm: Weight | None,
        cache: Cache | None,
        v_is_k: bool,
        label: str,
        v_normed: bool = True,
    ) -> None:
        self._steps.append(
            QkvHeads(
                qkv=self._resolve(qkv),
                heads=0 if q is None else known(q[0].output.shape[1]),
                q_norm=None if q is None else q[1].weight(1),
                q=None if q is None else q[0].output,
                k_norm=k_norm,
                cache=cache,
                v_is_k=v_is_k,
                head_size=known(rope.output.shape[2]),
                theta=rope.number("theta"),
                rotated_pairs=rope.integer("rotated_pairs"),
                eps=self._producer[rope.value(0).name].number("eps"),
                label=label,
                factor=rope.number("factor"),
                v_normed=v_normed,
            )
        )

    def _attention(self, node: Node) -> None:
        q = self._chain(node.value(0), "rope", "rms_norm", "reshape", "slice")
        write = self._producer[node.value(1).name]
        k_slice = self._chain(write.value(0), "rope", "rms_norm", "reshape", "slice")[-1]
        if k_slice.value(0) != q[-1].value(0):  # of a layer that reads another layer's cache
            self._heads(q, q[0], q[-1].value(0), None, None, False, node.label)
        scale = node.number("scale")
        _, heads, _ = node.output.shape
        visible = node.value(3) if len(node.inputs) == 4 else None
        cache = self._cache(write)
        self._steps.append(Attend(node.value(0), known(heads), cache, scale, node.output, node.label, visible))
