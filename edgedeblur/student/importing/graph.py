"""The graph of a network to import, whatever it was traced from: nodes in order, named as torch's ATen operators."""

from dataclasses import dataclass
from typing import Any

SIDES = (64, 128)
"""Height and width that networks are traced at: unequal, so that a transposition does not pass for the identity."""


@dataclass(frozen=True)
class Ref:
    """The output of a node, or the image, as an argument."""

    node: str


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        id: unique in the graph.
        operator: ATen's name without overload and trailing underscore, such as "conv2d"; another where ATen has none.
        place: where the user finds it: the module's path, or the node's name.
        arguments: by ATen's names; `Ref`, constants as NumPy arrays, plain values.
        shape: of its output, [1, C, H, W] for a feature map.
    """

    id: str
    operator: str
    place: str
    arguments: dict[str, Any]
    shape: tuple[int, ...]

    @property
    def reads(self) -> list[str]:
        """Ids of the nodes whose outputs it takes."""
        found = []
        for value in self.arguments.values():
            items = value if isinstance(value, list | tuple) else [value]
            found += [item.node for item in items if isinstance(item, Ref)]
        return found


@dataclass(frozen=True)
class Graph:
    """A whole network: one image [1, 3, H, W] in, one out; `sides` are H and W of the shapes of its nodes."""

    nodes: tuple[Node, ...]
    image: str
    output: str
    sides: tuple[int, int] = SIDES

    def live(self) -> list[Node]:
        """The nodes that the output depends on, in order."""
        needed = {self.output}
        for node in reversed(self.nodes):
            if node.id in needed:
                needed.update(node.reads)
        return [node for node in self.nodes if node.id in needed]
