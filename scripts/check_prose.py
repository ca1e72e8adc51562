"""Lists phrases that read oddly in English; fails above MOST per 1,000 words; knows phrases, not grammar."""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

MOST = 2.5
ODD = {  # phrase: what to write instead. A space is any white space, ^ the start of a clause; case is ignored.
    r"who(?:so|m)?ever|whatever|whichever": "the noun: a caller that …; any, every; regardless of",
    r"^who|(?:all|but|nor|than|reaches) who": "the noun: a client that …, a run that …",
    r"^what (?:is|was|goes|went|comes?|came|ends|waits|counts|(?:\w+ ){1,2}(?:is|are|was|has|have|had))": "a noun",
    r"(?<!regardless )(?:of|from|by|for|with|than|to) what(?! to)|(?:is|are|was) what": "a noun: the rows that …",
    r"^(?:of|those|else)|(?:none|false|empty|nothing) where": "the noun: number of …, rows of …; otherwise; if",
    r"(?:some|no)body(?:'s)?": "no one, an operator, another run; or the passive",
    r"(?:how|what|if|that|when|data|as) one (?:may|can|must|wants?|asks?)|one's own": "a user, a client, you",
    r"so (?:many|few|long|often|seldom)(?! (?:\w+ )?(?:that|as))": "a number of, a limit of; for that long",
    r"told(?! (?:to|not|otherwise))|tells? (?:of|what|how|why|nothing|more)|tells(?=[.,;:])": "report, log, say, show",
    r"(?<!left )(?<!leaves )(?<!leave )behind(?! (?:an?|the|your) (?:\w+ )?(?:prox|balanc|alb)\w*| schedule)": "after",
    r"(?<!there )(?:is|are|was|were) no (?!longer|more|such|need|way|reason|\w+ than)\w+": "is not a …",
    r"(?:(?<!there )(?:is|are)|has|have|needs?|knows?|takes?|lacks?|finds?|keeps?) (?-i:none)": "repeat the noun",
    r"(?:go|goes|gone|went) on(?! to)|(?:is|was|be) well(?! \w+ed)|well again": "continue, resume; is healthy",
    r"anew|once more|all the same(?! \w)|of late|seldom|hardly": "again, from the start; anyway; recently; rarely",
    r"puts? right|mend(?:s|ed|ing)?|for (?:people|persons|a person)": "fix, correct; human-readable, for operators",
    r"look(?:s|ed|ing)? (?:through|on|seldom)": "scan, search; watch; run rarely",
    r"lets? (?:\w+ ){0,3}go|(?:gives?|given) (?:\w+ ){1,3}up|takes? (?:\w+ ){0,4}along": "release, drop; include",
    r"(?:stand|stands|stood)(?![ -](?:for|in|out|alone))|lies|lie|lying": "is, are; remains; status",
    r"beside|ours": "next to, alongside, compared with; our …, this run's",
    r"meanwhile(?=[.,;:)])|(?<!leave )(?:by|for|of|from|to|in|with|the) (?:\w+ ){1,3}alone": "in the meantime; only",
    r"(?:an?|one|two|\d+) \w+ an? (?:source|run|batch|record|row|request|statement|outcome|line|page|token)": "per",
    r"(?<=[,;] )also (?:of|in|when|where|while|what|those|by|for|with|at|to|from|if|an?|the)": "even, including",
    r"(?:comes?|came|becomes?|made|makes) (?:of|to nothing)|(?:has|have|had) come(?! (?:from|up))": "result; arrived",
    r"(?:any|no) more(?=[.,;:)])|(?:is|are|was) through|in hand": "no longer; has finished; in progress",
    r"(?:read|batch|it|has|have|had|was|were) (?:already |once |just )?met": "found, seen, encountered",
    r"pass(?:es)? for|taken for(?! granted)|takes? (?:it|them|this|that) for": "is treated as, is mistaken for",
    r"begun|puts? (?:\w+ ){0,4}away|may (?:still )?go|(?:read|held|downloaded) whole": "started; discard; in full",
    r"(?:is|are|was|were|been) (?:wanted|cut(?! off))|wanted by|bears?": "requested; truncated, interrupted",
    r"texts|as a text|without that (?:the|it|a)|belongs? into|as which": "strings; without …ing; belongs in; that",
    r"desk(?:'s)?|doors?(?:'s)?|the window (?:as|looks)|^the window:": "admin; entry point; API",
    r"(?:in|thousand) lots|story|stories|rhythms?|spine|riddle|the house": "chunks; history, event log; interval",
}
SIGNS = {ord("^"): r"(?:\A|(?<=\()|(?<=[.;:|-]\s)|(?<=\n\n))", ord(" "): r"\s"}
TABLE = [(re.compile(rf"(?<![\w-])(?:{odd.translate(SIGNS)})(?![\w-])", re.IGNORECASE), ODD[odd]) for odd in ODD]
NOISE = re.compile(r"(?s:```.*?```|<!--.*?-->)|\]\([^)\s]*\)|\{%.*?%\}|</?[a-z][^<>]*>|\*\*|(?:noqa|type): [\w\[\]-]+")
CODE = re.compile(r"``[^`]*``|`[^`]{1,200}`|\{\{.*?\}\}|%[a-z]\b")
NO_MESSAGE = re.compile(r"[\\|]|%\(|\b(?:SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|RETURNING|interval '|redis\.call)\b")
FILE = re.compile(r"(?!bench/\.venv/).+\.(?:py|md|html)")
Passage = tuple[str, int, str]  # group, line, text


def read_comments(source: str) -> Iterator[Passage]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [(*token.start, token.string.lstrip("#!")) for token in tokens if token.type == tokenize.COMMENT]
    for _, pairs in groupby(enumerate(comments), key=lambda pair: (pair[1][0] - pair[0], pair[1][1])):
        block = [comment for _, comment in pairs]
        yield "comments", block[0][0], "\n".join(text for _, _, text in block)


def read_strings(source: str, *, has_messages: bool) -> Iterator[Passage]:
    """Docstrings, and messages: other strings of at least three words that are neither SQL nor a pattern."""
    seen: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            seen.add(id(node.value))
            yield "comments", node.lineno, node.value.value
        elif has_messages and isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in seen:
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            seen.update(map(id, parts))
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "_" for part in parts)
            if len(re.findall(r"\b[a-z]{2,}", text)) > 2 and " " in text and not NO_MESSAGE.search(text):
                yield "messages", node.lineno, text


def read_file(path: Path) -> list[Passage]:
    """The passages of a file, stripped of code; other files than Python are one passage."""
    source = path.read_text()
    passages = [("docs" if path.suffix == ".md" else "messages", 1, source)]
    if path.suffix == ".py":
        passages = [*read_comments(source), *read_strings(source, has_messages="tests" not in path.parts)]
    return [(group, line, strip_code(text)) for group, line, text in passages]


def strip_code(text: str) -> str:
    """The text with `_` in place of code and single blanks, on as many lines as before."""
    text = NOISE.sub(lambda noise: re.sub(r"[^\n]", " ", noise[0]), text)
    text = CODE.sub(lambda code: re.sub(r"[^\n]+", "_", code[0]), text)
    return re.sub(r" ?\n ?", "\n", re.sub(r"[ \t]+", " ", text)).strip(" ")


def find_odd(text: str) -> list[tuple[int, str, str]]:
    """The odd phrases in a text without code, each with its line (from 0) and what to write instead."""
    found = [(match, instead) for odd, instead in TABLE for match in odd.finditer(text)]
    return [(text.count("\n", 0, match.start()), " ".join(match[0].split()), instead) for match, instead in found]


def main(roots: list[Path]) -> int:
    words: Counter[str] = Counter()
    places: Counter[str] = Counter()
    files = [path for root in roots for path in (root, *sorted(root.rglob("*.*"))) if FILE.fullmatch(str(path))]
    for path in files:
        for group, first, text in read_file(path):
            odd = find_odd(text)
            for name in (group, "total"):
                words[name] += len(re.findall(r"[A-Za-z][\w'-]*", text))
                places[name] += len(odd)
            for line, phrase, instead in sorted(odd):
                print(f"{path}:{first + line}: {phrase} (rather: {instead})")
    rates = {group: 1000 * places[group] / words[group] for group in sorted(words)}
    for group, rate in rates.items():
        print(f"{group}: {rate:.1f} per 1,000 words ({places[group]} in {words[group]:,})")
    return int(max(rates.values(), default=0) > MOST)


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]] or [path for path in Path().iterdir() if path.name[0] != "."]))
