"""Evaluates the part of PromQL that deploy/alerts.yml uses, over scraped samples. Knows no other function."""

import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float
Samples = Mapping[str, Vector]

LOOK_BACK_SECONDS = 300
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TOKEN = re.compile(r'\s*(?:(>=|<=|==|!=|=~|!~|[-+*/(){}\[\],<>=])|("(?:[^"\\]|\\.)*")|(\d+[smhd])|([\d.]+)|([\w:]+))')
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_COMPUTED: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}  # fmt: skip
_MATCHED: Mapping[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "=~": lambda value, pattern: re.fullmatch(pattern, value) is not None,
    "!~": lambda value, pattern: re.fullmatch(pattern, value) is None,
}


def parse_seconds(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]]


@dataclass
class History:
    """Scrapes in the order of their times."""

    scrapes: list[tuple[float, Samples]] = field(default_factory=list)

    def find(
        self, name: str, matchers: Sequence[tuple[str, str, str]], since: float, until: float
    ) -> dict[Labels, list[float]]:
        """The values of each series of this name in (since, until]."""
        found: dict[Labels, list[float]] = defaultdict(list)
        for at, samples in reversed(self.scrapes):
            if at <= since:
                break
            if at <= until:
                for labels, value in samples.get(name, {}).items():
                    known = dict(labels)
                    if all(_MATCHED[op](known.get(key, ""), text) for key, op, text in matchers):
                        found[labels].insert(0, value)
        return found


def evaluate(text: str, history: History, now: float) -> Value:
    tokens = [next(group for group in match.groups() if group) for match in _TOKEN.finditer(text.strip())]
    evaluation = _Evaluation(tokens, history, now)
    value = evaluation.compare()
    assert not evaluation.tokens, f"not understood: {evaluation.tokens}"
    return value


class _Evaluation:
    def __init__(self, tokens: list[str], history: History, now: float) -> None:
        self.tokens, self.history, self.now = tokens, history, now

    def _take(self, expected: str | None = None) -> str:
        token = self.tokens.pop(0)
        assert expected in (None, token), f"{expected} expected, not {token}"
        return token

    def _is_next(self, *options: str) -> bool:
        return bool(self.tokens) and self.tokens[0] in options

    def compare(self) -> Value:
        left = self._compute(("+", "-"))
        while self._is_next(*_COMPARED):
            fits = _COMPARED[self._take()]
            right = self._compute(("+", "-"))
            assert isinstance(left, dict)
            left = {labels: value for labels, value in left.items() if fits(value, _pick(right, labels))}
        return left

    def _compute(self, operators: tuple[str, ...]) -> Value:
        left = self._read_operand(operators)
        while self._is_next(*operators):
            compute = _COMPUTED[self._take()]
            right = self._read_operand(operators)
            if isinstance(left, dict):
                left = {labels: compute(value, _pick(right, labels)) for labels, value in left.items()}
            elif isinstance(right, dict):
                left = {labels: compute(left, value) for labels, value in right.items()}
            else:
                left = compute(left, right)
        return left

    def _read_operand(self, operators: tuple[str, ...]) -> Value:
        return self._compute(("*", "/")) if "+" in operators else self._read()

    def _read(self) -> Value:
        token = self._take()
        if token == "(":
            value = self.compare()
            self._take(")")
            return value
        if re.fullmatch(r"[\d.]+", token):
            return float(token)
        if token == "time":
            self._take("(")
            self._take(")")
            return self.now
        if token in ("max", "min", "sum"):
            return self._aggregate(token)
        if token in ("increase", "delta", "rate"):
            return self._follow(token)
        if token == "absent":
            self._take("(")
            found = self.compare()
            self._take(")")
            return {} if found else {frozenset(): 1.0}
        matchers = self._read_matchers()
        found_values = self.history.find(token, matchers, self.now - LOOK_BACK_SECONDS, self.now)
        return {labels: values[-1] for labels, values in found_values.items()}

    def _read_matchers(self) -> list[tuple[str, str, str]]:
        matchers = []
        if self._is_next("{"):
            self._take()
            while not self._is_next("}"):
                key, sign, text = self._take(), self._take(), self._take()
                matchers.append((key, sign, text.strip('"')))
                if self._is_next(","):
                    self._take()
            self._take("}")
        return matchers

    def _aggregate(self, name: str) -> Vector:
        kept: list[str] = []
        if self._is_next("by"):
            self._take()
            self._take("(")
            while not self._is_next(")"):
                kept.append(self._take())
                if self._is_next(","):
                    self._take()
            self._take(")")
        self._take("(")
        value = self.compare()
        self._take(")")
        assert isinstance(value, dict)
        groups: dict[Labels, list[float]] = defaultdict(list)
        for labels, number in value.items():
            groups[frozenset(pair for pair in labels if pair[0] in kept)].append(number)
        return {labels: _combine(name, numbers) for labels, numbers in groups.items()}

    def _follow(self, name: str) -> Vector:
        """A counter that falls has started over. The result is not extrapolated to the whole range."""
        self._take("(")
        family, matchers = self._take(), self._read_matchers()
        self._take("[")
        seconds = parse_seconds(self._take())
        self._take("]")
        self._take(")")
        found = self.history.find(family, matchers, self.now - seconds, self.now)
        result = {}
        for labels, values in found.items():
            steps = [after - before if after >= before else after for before, after in pairwise(values)]
            if steps:
                grown = values[-1] - values[0] if name == "delta" else sum(steps)
                result[labels] = grown / seconds if name == "rate" else grown
        return result


def _pick(value: Value, labels: Labels) -> float:
    return value.get(labels, math.nan) if isinstance(value, dict) else value


def _combine(name: str, numbers: Sequence[float]) -> float:
    if name == "sum":
        return sum(numbers)
    numbers = [number for number in numbers if not math.isnan(number)] or [math.nan]
    return max(numbers) if name == "max" else min(numbers)
