"""Finds the next page that a Link header names (RFC 8288), and reports pages that would not be read. Pure."""

import re
from urllib.parse import urljoin

from etl.exceptions import SourceError
from etl.vocabulary import Reason

_PARAMETER = r""";\s*([^\s=;,"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?"""
_LINK = re.compile(rf"<([^<>]*)>((?:\s*{_PARAMETER})*)")


def find_next_link(header: str, address: str) -> str:
    """Return the URL of the page after this address, or an empty string if the header names none."""
    for target, parameters, *_ in _LINK.findall(header):
        values = (
            quoted or plain for name, quoted, plain in re.findall(_PARAMETER, parameters) if name.lower() == "rel"
        )
        if "next" in next(values, "").lower().split():  # a second rel has no meaning
            return str(urljoin(address, target))
    return ""


def report_more_pages(where: str, sign: str) -> SourceError:
    """Return the error of a source that sent one page of several; `sign` says what shows it."""
    remedy = "declare the source's pages, or ask for all records in one response"
    text = f"{where} sent one page of several: {sign}. Only the first would be read: {remedy}."
    return SourceError(text, Reason.MORE_PAGES)
