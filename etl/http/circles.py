"""Finds a walk that goes in a circle, with constant memory (Brent's algorithm). Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(slots=True)
class CircleGuard:
    """Keeps one state, and replaces it after 1, 2, 4, 8 … steps. A state that equals it closes a circle.

    A circle is found within three times its length and way to it. `as_json` is stored with the cursor, so that a
    resumed walk finds it too.
    """

    kept: str = ""
    steps: int = 0
    distance: int = 1

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Self:
        return cls(**stored) if stored else cls()

    def as_json(self) -> dict[str, Any]:
        return {"kept": self.kept, "steps": self.steps, "distance": self.distance}

    def closes(self, state: Mapping[str, Any]) -> bool:
        """Take the next state of the walk. Returns whether the walk has been there."""
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]
        if digest == self.kept:
            return True
        self.steps += 1
        if self.steps == self.distance:
            self.kept, self.steps, self.distance = digest, 0, 2 * self.distance
        return False
