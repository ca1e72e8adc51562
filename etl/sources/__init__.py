"""Everything that the module of a source imports: the kinds of sources, field types and the mapping's functions."""

from datetime import timedelta
from typing import Annotated, Literal

from etl.contracts.addresses import Email, Url, Uuid
from etl.contracts.amounts import Decimal, Integer
from etl.contracts.contract import Contract
from etl.contracts.field_type import FieldType
from etl.contracts.fields import make_field as field
from etl.contracts.forms import Form
from etl.contracts.instants import Time
from etl.contracts.numbers import PositiveDecimal, PositiveInt
from etl.contracts.texts import Identifier, NonBlank, Text
from etl.contracts.times import Date, ZonedTime
from etl.contracts.words import Boolean, Choice
from etl.gates import Gates
from etl.http.credentials import Basic, Bearer, ClientCredentials, Key
from etl.http.pages import After, LinkHeader, NextUrl, Numbered, Token
from etl.http.since import Since
from etl.readers.csv_dialect import Csv, CsvSource
from etl.readers.excel_dialect import Excel, ExcelSource
from etl.readers.file_source import FileSource
from etl.readers.into import Into, choice, delete, end, parent, rest
from etl.readers.json_api import ApiSource, JsonApiSource
from etl.readers.json_dialect import Json, JsonLinesSource
from etl.readers.json_path import LINES
from etl.readers.mapping import constant, file_name, lower, row_number
from etl.readers.source import Source, secret, setting
from etl.records import Breach, UnifiedFields
from etl.vocabulary import BreachCode

__all__ = [
    "LINES",
    "After",
    "Annotated",
    "ApiSource",
    "Basic",
    "Bearer",
    "Boolean",
    "Breach",
    "BreachCode",
    "Choice",
    "ClientCredentials",
    "Contract",
    "Csv",
    "CsvSource",
    "Date",
    "Decimal",
    "Email",
    "Excel",
    "ExcelSource",
    "FieldType",
    "FileSource",
    "Form",
    "Gates",
    "Identifier",
    "Integer",
    "Into",
    "Json",
    "JsonApiSource",
    "JsonLinesSource",
    "Key",
    "LinkHeader",
    "Literal",
    "NextUrl",
    "NonBlank",
    "Numbered",
    "PositiveDecimal",
    "PositiveInt",
    "Since",
    "Source",
    "Text",
    "Time",
    "Token",
    "UnifiedFields",
    "Url",
    "Uuid",
    "ZonedTime",
    "choice",
    "constant",
    "delete",
    "end",
    "field",
    "file_name",
    "lower",
    "parent",
    "rest",
    "row_number",
    "secret",
    "setting",
    "timedelta",
]
