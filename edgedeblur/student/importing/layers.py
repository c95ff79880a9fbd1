"""Layers of a student from the values of a graph: parallel branches are merged, sums become residuals."""

import os
import re
from dataclasses import replace

import numpy as np

from edgedeblur.student.check import ALLOWED
from edgedeblur.student.importing.graph import Node
from edgedeblur.student.importing.refusals import NotTakenError, Refusal
from edgedeblur.student.importing.values import (
    Gate,
    Kernel,
    Term,
    Value,
    channel_slice,
    convolved,
    depth_to_space_of,
    scaled,
    tensor,
    ungrouped,
)
from edgedeblur.student.operations import OPERATIONS, OpSpec
from edgedeblur.student.spec import IMAGE, ConvSpec, Layer

_UNKNOWN = " not taken: "  # begins the name of what a node that is not taken would have made; no layer's name does
_LONGEST_NAME = 56  # of 64, so that a number has room behind it


class Layers:
    """The student as far as it is read: layers, their weights, and the tensors that exist so far.

    Attributes:
        specs: layers in order.
        weights: by layer: (float64 [out, in, k, k], float64 [out]).
        gates: by layer with a gate: (float64 [out, in], float64 [out]).
        slopes: by layer with prelu: float64 [out].
        rows: what is not taken.
    """

    def __init__(self, height: int, width: int):
        self.specs: list[Layer] = []
        self.weights: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.gates: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.slopes: dict[str, np.ndarray] = {}
        self.rows: list[Refusal] = []
        self._shapes: dict[str, tuple[int, int, int]] = {IMAGE: (3, height, width)}

    def tensor(self, name: str) -> Value:
        """A tensor that exists."""
        return tensor(name, self._shapes[name])

    def rectified(self, name: str) -> bool:
        """Whether a tensor is a layer's with ReLU."""
        return any(spec.name == name and spec.relu for spec in self.specs)

    def refuse(self, node: Node, error: NotTakenError) -> Value:
        """Note a row; reading goes on with a tensor of the node's shape, so that all rows are found at once."""
        self.rows.append(Refusal(node, error.why, error.instead))
        return self._unknown(node)

    def finish(self, value: Value) -> Value:
        """The network's output, by a convolution of its own: where it ends in none, by one that multiplies by one."""
        if value.linear and not any(term.kernel is not None for term in value.terms):
            terms = list(value.terms)
            at = next((i for i, term in enumerate(terms) if term.source != IMAGE and term.in_place), None)
            if at is not None:
                terms[at] = _as_convolution(terms[at], "output")
                value = replace(value, terms=tuple(terms))
        return self.store(value)

    def _unknown(self, node: Node) -> Value:
        shape = (node.shape[1], *node.shape[2:]) if len(node.shape) == 4 else (int(np.prod(node.shape)), 1, 1)
        name = f"{_UNKNOWN}{node.id}"
        self._shapes[name] = shape
        return self.tensor(name)

    def store(self, value: Value) -> Value:
        """The value as a tensor that exists, by as many layers as it takes; those that cannot be are rows."""
        if value.linear and len(value.terms) == 1 and value.terms[0].is_tensor:
            return value
        try:
            return self.tensor(self._emit(value))
        except NotTakenError as error:
            if any(term.source.startswith(_UNKNOWN) for term in value.terms):
                return self._unknown(value.node)  # it may well be taken once what it reads is
            return self.refuse(value.node, error)

    def _emit(self, value: Value) -> str:
        """Layers for a value; the name of the last."""
        convolutions = [term for term in value.terms if term.kernel is not None]
        tensors = [term for term in value.terms if term.kernel is None]
        merged, rest = _merge(convolutions, tensors)
        place = value.node.place if value.node is not None else "sum"
        sources = [self._as_tensor(term, place) for term in rest]
        base = sources[0] if sources else None
        for source in sources[1:]:
            base = self._operation("add", place, (base, source))
        if not merged or (value.slope is not None and (base is not None or len(merged) > 1)):
            for term in merged:
                base = self._layer(term, base, Value((term,)))
            return self._activated(value, base, place)
        for number, term in enumerate(merged):
            final = number == len(merged) - 1
            base = self._layer(term, base, value if final else Value((term,)))
        return base

    def _as_tensor(self, term: Term, place: str) -> str:
        """A tensor that exists, or a layer that makes the term of it: some of its channels, scaled or shifted."""
        if term.is_tensor:
            return term.source
        if (start := channel_slice(term)) is not None:
            return self._operation("part", place, (term.source,), None, (start,), term.at.shape[1])
        channels = term.shape[0]
        if not term.in_place or channels < 2:
            raise NotTakenError(
                "a tensor that exists is rearranged, with no convolution to fold that into", "a 1x1 convolution"
            )
        kernel = Kernel(f"{place}.scaled", term.scale[:, None, None, None].copy(), 1, 1, groups=channels)
        return self._layer(replace(term, scale=np.ones(channels), kernel=kernel), None, Value((term,)))

    def _activated(self, value: Value, name: str, place: str) -> str:
        """The activation of a tensor that exists, as a layer."""
        if value.gate is not None:
            raise NotTakenError("a gate on a tensor that exists", "the gate on the ReLU of a convolution")
        if value.relu:
            if value.limit not in (None, 6.0):
                raise NotTakenError(f"a clamp to {value.limit:g} of a tensor that exists", "nn.ReLU6()")
            return self._operation("relu" if value.limit is None else "relu6", place, (name,))
        if value.slope is None:
            return name
        if np.ptp(value.slope):
            raise NotTakenError(
                "a PReLU with slopes by channel of a sum or of what several read", "PReLU right after its convolution"
            )
        return self._operation("leaky_relu", place, (name,), float(value.slope[0]))

    def operate(
        self,
        op: str,
        name: str,
        sources: list[Value],
        parameter: float | None = None,
        starts: tuple[int, ...] = (),
        channels: int | None = None,
    ) -> Value:
        """A layer without weights, of stored tensors."""
        names = tuple(value.terms[0].source for value in sources)
        return self.tensor(self._operation(op, name, names, parameter, starts, channels))

    def _operation(
        self,
        op: str,
        name: str,
        sources: tuple[str, ...],
        parameter: float | None = None,
        starts: tuple[int, ...] = (),
        channels: int | None = None,
    ) -> str:
        given = [self._shapes[source] for source in sources]
        joined = OPERATIONS[op].combine == "concatenate"
        made = channels or (sum(shape[0] for shape in given) if joined else given[0][0])
        spec = OpSpec(self._name(name), op, sources, made, starts, parameter)
        self._shapes[spec.name] = (made, *spec.output_size(*given[0][1:]))
        self.specs.append(spec)
        return spec.name

    def materialised(self, gate: Gate) -> Value:
        """What a gate is so far, as layers: a tensor of one pixel."""
        value = self.operate("global_average", f"{gate.source}.mean", [self.tensor(gate.source)])
        if gate.stage == "mean":
            return value
        kernel = Kernel(f"{gate.source}.linear", gate.weight[:, :, None, None], 1, 1)
        value = convolved(value, gate.bias, kernel)
        if gate.stage == "linear":
            return value
        value = self.operate("sigmoid", f"{gate.source}.sigmoid", [self.store(value)])
        return (
            value if gate.factor == 1 else scaled(value, np.full(value.shape[1], gate.factor), np.zeros(value.shape[1]))
        )

    def _layer(self, term: Term, residual: str | None, fused: Value) -> str:
        """A layer; fused: the value whose activation and gate it takes."""
        kernel, gate, (unfold, order) = term.kernel, fused.gate, depth_to_space_of(term)
        for what, value in (("space_to_depth", kernel.space_to_depth), ("depth_to_space", unfold)):
            if value not in ALLOWED[what]:
                raise NotTakenError(f"pixels are folded by {value}", f"a factor of {ALLOWED[what][1:]}")
        written = order.transpose(1, 2, 0).ravel()  # our channels are in (dy, dx, c) order
        if kernel.groups > 1 and np.any(written != np.arange(len(written))):
            kernel = replace(kernel, weight=ungrouped(kernel), groups=1)
        name = self._name(kernel.name)
        if fused.slope is not None:
            self.slopes[name] = np.tile(fused.slope, unfold**2)
        weight, bias = kernel.weight[written], term.shift[written]
        if gate is not None:
            self.gates[name] = gate.weight, gate.bias
            weight, bias = weight * (gate.factor / 2), bias * (gate.factor / 2)
        self.weights[name] = weight, bias
        spec = ConvSpec(
            name,
            term.source,
            in_channels=weight.shape[1] * kernel.groups,
            out_channels=len(weight),
            kernel=weight.shape[2],
            stride=kernel.stride,
            space_to_depth=kernel.space_to_depth,
            depth_to_space=unfold,
            residual=residual,
            relu=fused.relu,
            gate=None if gate is None else gate.source,
            groups=kernel.groups,
            dilation=kernel.dilation,
            prelu=fused.slope is not None,
            limit=fused.limit,
        )
        self.specs.append(spec)
        self._shapes[name] = term.at.shape[1:]
        return name

    def _name(self, wanted: str) -> str:
        """A layer's name that nothing else has, of characters that names may have."""
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted).lstrip(".-")[-_LONGEST_NAME:] or "layer"
        name, number = plain, 2
        while name in self._shapes:
            name, number = f"{plain}.{number}", number + 1
        return name


def _merge(convolutions: list[Term], tensors: list[Term]) -> tuple[list[Term], list[Term]]:
    """Parallel convolutions of one tensor as one, with the tensor itself where there are several (RepVGG, Ding et al.,
    CVPR 2021) or where it is scaled; and the tensors that are left."""
    groups: list[list[Term]] = []
    for term in convolutions:
        group = next((group for group in groups if _parallel(group[0], term)), None)
        if group is None:
            groups.append([term])
        else:
            group.append(term)
    rest = []
    for term in tensors:
        group = next((group for group in groups if _takes_in(group, term)), None)
        if group is None:
            rest.append(term)
        else:
            group.append(_as_convolution(term, group[0].kernel.name))
    return [_sum(group) for group in groups], rest


def _parallel(first: Term, other: Term) -> bool:
    ours, theirs = first.kernel, other.kernel
    same = (first.source, first.shape, ours.stride, ours.space_to_depth)
    if not (ours.plain and theirs.plain):
        return False
    return same == (other.source, other.shape, theirs.stride, theirs.space_to_depth) and np.array_equal(
        first.at, other.at
    )


def _takes_in(group: list[Term], tensor_term: Term) -> bool:
    """A plain residual stays one: it costs less precision in int8 than a large weight in the middle of a kernel."""
    first = group[0]
    fits = first.source == tensor_term.source and first.kernel.stride == first.kernel.space_to_depth == 1
    fits = fits and first.kernel.plain and first.shape == tensor_term.shape and first.in_place and tensor_term.in_place
    return fits and (len(group) > 1 or not tensor_term.is_tensor)


def _as_convolution(term: Term, name: str) -> Term:
    weight = np.diag(term.scale)[:, :, None, None]
    return replace(term, scale=np.ones_like(term.scale), kernel=Kernel(name, weight, 1, 1))


def _sum(group: list[Term]) -> Term:
    if len(group) == 1:
        return group[0]
    side = max(term.kernel.weight.shape[2] for term in group)
    weight = sum(np.pad(term.kernel.weight, [(0, 0), (0, 0), *[(_margin(term, side),) * 2] * 2]) for term in group)
    names = [term.kernel.name for term in group]
    parent = os.path.commonprefix([name.split(".") for name in names])
    kernel = replace(group[0].kernel, weight=weight, name=".".join(parent) or names[0])
    return replace(group[0], kernel=kernel, shift=sum(term.shift for term in group))


def _margin(term: Term, side: int) -> int:
    return (side - term.kernel.weight.shape[2]) // 2
