"""Fusion of a tower: turns its nodes into steps that have kernels."""

from dataclasses import replace

from gemtab.backends.webgpu.fusion import FusedGraph, Fusion, Handler, ranges, unsupported
from gemtab.backends.webgpu.steps import (
    INFINITE,
    AddNorm,
    AddPositions,
    Depthwise,
    FullAttend,
    LayerNorm,
    LocalAttend,
    Matmul,
    Picked,
    Pool,
    RopeHeads,
    Sinusoids,
    Subsample,
)
from gemtab.graph import Graph, Node, Value, Weight, known

MAX_HEAD_SIZE = 128
"""Elements of the largest head for which a tile of keys and values fits workgroup memory."""


def fuse_tower(graph: Graph) -> FusedGraph:
    """Return the steps of a tower's graph. Raises CheckpointError for an op without a kernel, before any weight is
    read."""
    return _TowerFusion(graph).run()


class _TowerFusion(Fusion):
    def handlers(self) -> dict[str, Handler]:
        return {
            "affine": self._read_by("linear"),
            "clip": self._read_by("linear"),
            "clamp": self._read_by("rms_norm"),
            "axial_rope": self._read_by("full_attention"),
            "linear": self._linear,
            "rms_norm": self._rms_norm,
            "layer_norm": self._layer_norm,
            "add": self._add,
            "embed_positions": self._embed_positions,
            "full_attention": self._full_attention,
            "pool": self._pool,
            "subsample": self._subsample,
            "causal_depthwise": self._causal_depthwise,
            "sinusoids": lambda node: self._steps.append(Sinusoids(node.output)),
            "local_attention": self._local_attention,
            "reshape": self._reshape,
        }

    # --- consumers and producers ---------------------------------------------------------------------------------

    def _read_by(self, op: str) -> Handler:
        """Return a handler that leaves a node to its consumers, which must all have this op."""

        def check(node: Node) -> None:
            consumers = self._consumers[node.output.name]
            if not consumers or any(consumer.op != op for consumer in consumers):
                raise unsupported(node)

        return check

    def _needed(self, value: Value, op: str, node: Node) -> Node:
        """Absorb and return the only consumer of `value`. Raises CheckpointError for `node` if it is not of this op."""
        consumer = self._only_consumer(value, op)
        if consumer is None:
            raise unsupported(node)
        self._absorb(consumer)
        return consumer

    def _guarded(self, value: Value) -> tuple[Value, float]:
        """Return a norm's input before its clamp, and the clamp's bound; INFINITE without a clamp."""
        clamp = self._producer.get(value.name)
        if clamp is None or clamp.op != "clamp":
            return self._resolve(value), INFINITE
        return self._resolve(clamp.value(0)), clamp.number("bound")

    # --- matrices ---------------------------------------------------------------------------------------

    def _linear(self, node: Node) -> None:
        x = node.value(0)
        rows, rounded = node.integer("rows"), ranges(node)
        step = Matmul(self._resolve(x), node.weight(1), 0, rows, node.output, node.label, ranges=rounded)
        source = self._producer.get(x.name)
        if source is not None and source.op == "affine":
            affine = source.number("factor"), source.number("offset")
            step = replace(step, x=self._resolve(source.value(0)), affine=affine)
        elif source is not None and source.op == "clip" and id(source) not in self._absorbed:
            bounds = source.weight(1), source.weight(2)
            step = replace(step, x=self._resolve(source.value(0)), x_bounds=bounds)
        self._steps.append(self._with_epilogue(self._with_end(step)))

    def _with_end(self, step: Matmul) -> Matmul:
        if clip := self._only_consumer(step.out, "clip"):
            self._absorb(clip)
            return replace(step, out=clip.output, bounds=(clip.weight(1), clip.weight(2)))
        if bias := self._only_consumer(step.out, "add_vector"):
            self._absorb(bias)
            return replace(step, out=bias.output, bias=bias.weight(1))
        return step

    def _with_epilogue(self, step: Matmul) -> Matmul:
        if (gelu := self._only_consumer(step.out, "gelu_tanh")) and (mul := self._only_consumer(gelu.output, "mul")):
            self._absorb(gelu, mul)
            operand = Picked(self._resolve(mul.value(1)), 0, 1)
            return replace(step, out=mul.output, epilogue="gelu_mul", operand=operand)
        if gated := self._only_consumer(step.out, "sigmoid_glu"):
            self._absorb(gated)
            return replace(step, out=gated.output, epilogue="sigmoid_glu")
        if silu := self._only_consumer(step.out, "silu"):
            self._absorb(silu)
            return replace(step, out=silu.output, epilogue="silu")
        return step

    # --- norms ------------------------------------------------------------------------------------------

    def _rms_norm(self, node: Node) -> None:
        readers = {consumer.op for consumer in self._consumers[node.output.name]}
        if readers and readers <= {"axial_rope", "full_attention"}:
            return  # a head's norm: RopeHeads absorbs it
        scaled = self._only_consumer(node.output, "scale")
        if add := self._only_consumer((scaled or node).output, "add"):
            y, bound = self._guarded(node.value(0))
            if scaled:
                self._absorb(scaled)
            self._absorb(add)
            factor = scaled.number("factor") if scaled else 1.0
            other = add.value(0) if add.value(1) == (scaled or node).output else add.value(1)
            step = AddNorm(
                x=self._resolve(other), y=y, norm=node.weight(1), factor=1.0, scalar=None, sum=None, next_norm=None,
                normed=None, eps=node.number("eps"), label=node.label, y_factor=factor, y_bound=bound,
            )  # fmt: skip
            self._steps.append(self._with_next_norm(step, add.output))
        else:
            self._steps.append(self._norm_alone(node))

    def _norm_alone(self, node: Node) -> AddNorm:
        x, bound = self._guarded(node.value(0))
        return AddNorm(
            x=x, y=None, norm=None, factor=1.0, scalar=None, sum=None, next_norm=_optional_weight(node),
            normed=node.output, eps=node.number("eps"), label=node.label, sum_bound=bound,
        )  # fmt: skip

    def _add(self, node: Node) -> None:
        """Append a sum of two values that are not normed."""
        step = AddNorm(
            x=self._resolve(node.value(0)), y=self._resolve(node.value(1)), norm=None, factor=1.0, scalar=None,
            sum=None, next_norm=None, normed=None, eps=0.0, label=node.label,
        )  # fmt: skip
        self._steps.append(self._with_next_norm(step, node.output))

    def _with_next_norm(self, step: AddNorm, out: Value) -> AddNorm:
        """Return the step, which absorbs the norm of its sum `out` if there is exactly one."""
        following = []
        for consumer in self._consumers[out.name]:
            norm = self._only_consumer(consumer.output, "rms_norm") if consumer.op == "clamp" else consumer
            if norm is not None and norm.op == "rms_norm":
                following.append((consumer, norm))
        kept = len(self._consumers[out.name]) > 1 or out in self._graph.outputs.values()
        if len(following) != 1:
            return replace(step, sum=out)
        first, norm = following[0]
        alone = self._norm_alone(norm)
        self._absorb(first, norm)
        return replace(
            step, sum=out if kept else None, next_norm=alone.next_norm, normed=alone.normed, eps=alone.eps,
            sum_bound=alone.sum_bound,
        )  # fmt: skip

    def _layer_norm(self, node: Node) -> None:
        if len(node.inputs) != 3:
            raise unsupported(node)
        x, eps = self._resolve(node.value(0)), node.number("eps")
        self._steps.append(LayerNorm(x, node.weight(1), node.weight(2), node.output, eps, node.label))

    # --- images -----------------------------------------------------------------------------------------

    def _embed_positions(self, node: Node) -> None:
        add = self._needed(node.output, "add", node)
        other = add.value(0) if add.value(1) == node.output else add.value(1)
        # In place, since the patches have no other reader.
        assert self._only_consumer(other, "add"), f"{node.label}: another op reads the patches"
        x = self._alias[add.output.name] = self._resolve(other)
        position_step, axis_step = node.integer("position_step"), node.integer("axis_step")
        step = AddPositions(x, node.value(0), node.weight(1), position_step, axis_step, node.label)
        self._steps.append(step)

    def _full_attention(self, node: Node) -> None:
        if known(node.output.shape[2]) > MAX_HEAD_SIZE:
            raise unsupported(node)
        q, k, v = (node.value(index) for index in range(3))
        self._steps += [self._heads(value, node) for value in (q, k, v)]
        self._steps.append(FullAttend(q, k, v, node.number("scale"), node.output, node.label))

    def _heads(self, value: Value, attention: Node) -> RopeHeads:
        node, positions, theta = self._producer.get(value.name), None, 1.0
        if node is not None and node.op == "axial_rope":
            positions, theta = node.value(1), node.number("theta")
            node = self._producer.get(node.value(0).name)
        if node is None or node.op != "rms_norm":
            raise unsupported(attention)
        x, norm = self._resolve(node.value(0)), _optional_weight(node)
        return RopeHeads(x, norm, positions, theta, value, node.number("eps"), attention.label)

    def _pool(self, node: Node) -> None:
        out, factor = node.output, 1.0
        if scaled := self._only_consumer(out, "scale"):
            self._absorb(scaled)
            out, factor = scaled.output, scaled.number("factor")
        step = Pool(
            self._resolve(node.value(0)), node.value(1), node.integer("side"), factor, None, None, out, node.label
        )
        if standard := self._only_consumer(out, "standardise"):
            self._absorb(standard)
            step = replace(step, mean=standard.weight(1), deviation=standard.weight(2), out=standard.output)
        self._steps.append(step)

    # --- audio ------------------------------------------------------------------------------------------

    def _subsample(self, node: Node) -> None:
        norm = self._needed(node.output, "layer_norm", node)
        relu = self._needed(norm.output, "relu", node)
        if len(norm.inputs) != 2:
            raise unsupported(norm)
        x = self._resolve(node.value(0))
        halvings = sum(isinstance(step, Subsample) for step in self._steps)
        self._steps.append(
            Subsample(x, node.weight(1), norm.weight(1), norm.number("eps"), halvings, relu.output, node.label)
        )

    def _causal_depthwise(self, node: Node) -> None:
        clamp = self._needed(node.output, "clamp", node)
        norm = self._needed(clamp.output, "rms_norm", node)
        silu = self._needed(norm.output, "silu", node)
        x, bound = self._resolve(node.value(0)), clamp.number("bound")
        self._steps.append(
            Depthwise(x, node.weight(1), bound, norm.weight(1), norm.number("eps"), silu.output, node.label)
        )

    def _local_attention(self, node: Node) -> None:
        q, k, v, relative = (self._resolve(node.value(index)) for index in range(4))
        self._steps.append(
            LocalAttend(
                q, k, v, relative, node.weight(4), node.integer("window"), node.number("scale"),
                node.number("key_scale"), node.number("cap"), node.output, node.label,
            )
        )  # fmt: skip


def _optional_weight(norm: Node) -> Weight | None:
    return norm.weight(1) if len(norm.inputs) == 2 else None
