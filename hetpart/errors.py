"""Every error that hetpart reports: a code, a sentence, the node it concerns, and what to do about it."""

from __future__ import annotations


class HetpartError(Exception):
    """A problem that the user can act on.

    Attributes:
        code: stable kebab-case identifier, e.g. ``dynamic-shape``; scripts may match on it.
        message: one sentence that names the thing at fault.
        node: ONNX node or value name the problem is at, if there is one.
        hint: what to do about it, if we know.
    """

    exit_code = 2

    def __init__(self, code: str, message: str, *, node: str | None = None, hint: str | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.node = node
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]"
        if self.node:
            text += f"\n  at: {self.node}"
        if self.hint:
            text += f"\n  hint: {self.hint}"
        return text

    def to_json(self) -> dict[str, str | None]:
        return {"code": self.code, "message": self.message, "node": self.node, "hint": self.hint}


class InternalError(HetpartError):
    """A contract of our own was broken: hetpart's fault, not the user's."""

    exit_code = 3
