"""A topology, as text and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagus.runtime.topology import Node, Sink, Source, Step

if TYPE_CHECKING:
    from vagus.streams.app import App


class Description:
    """The parts of an application. Printing it gives text; `mermaid()` a Mermaid flowchart.

    >>> import vagus as vg
    >>> class Reading(vg.Event):
    ...     sensor: str
    ...     celsius: float
    >>> app = vg.App("weather")
    >>> _ = app.topic("reading", Reading, key="sensor").to("copy")
    >>> print(app.describe())
    weather
      part 0
        reads  reading
        writes copy, from reading
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def __str__(self) -> str:
        lines = [self._app.name]
        for sub in self._app.topology.subtopologies():
            lines.append(f"  part {sub.number}")
            lines += ["    " + self._line(node) for node in sub.nodes]
        return "\n".join(lines)

    __repr__ = __str__

    @staticmethod
    def _line(node: Node) -> str:
        parents = ", ".join(parent.name for parent in node.parents)
        if isinstance(node, Source):
            return f"reads  {node.topic.name}"
        if isinstance(node, Sink):
            return f"writes {node.topic.name}, from {parents}"
        assert isinstance(node, Step)
        line = f"does   {node.name}: {node.label}, from {parents}"
        if node.stores:
            line += f", with state {', '.join(spec.name for spec in node.stores)}"
        if node.broadcast:
            line += f", with all of {', '.join(topic.name for topic in node.broadcast)}"
        return line

    def mermaid(self) -> str:
        """The topology as a Mermaid flowchart."""
        nodes = self._app.topology.nodes
        ids: dict[str, str] = {}
        lines = ["flowchart LR"]

        def topic(name: str) -> str:
            if name not in ids:
                ids[name] = f"n{len(ids)}"
                lines.append(f'  {ids[name]}[("{_quoted(name)}")]')
            return ids[name]

        def step(node: Node) -> str:
            if isinstance(node, Source):
                return topic(node.topic.name)
            key = f"step {node.name}"
            if key not in ids:
                assert isinstance(node, Step)
                ids[key] = f"n{len(ids)}"
                shape = ("[[", "]]") if node.stores else ("[", "]")
                lines.append(f'  {ids[key]}{shape[0]}"{_quoted(node.label)}"{shape[1]}')
            return ids[key]

        for node in nodes:
            if isinstance(node, Sink):
                lines.append(f"  {step(node.parents[0])} --> {topic(node.topic.name)}")
            elif isinstance(node, Step):
                here = step(node)
                lines.extend(f"  {step(parent)} --> {here}" for parent in node.parents)
                lines.extend(f"  {topic(table.name)} -.-> {here}" for table in node.broadcast)
            else:
                step(node)
        return "\n".join(lines)


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")
