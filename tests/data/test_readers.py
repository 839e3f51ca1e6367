"""Files of every format and encoding become rows, or one sentence that says where they fail."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain_core.data.readers import SPLIT, detect_source, get_notes, read_batches
from chain_core.errors import DataError

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
ENGLISH = "text,label\ncaf\u00e9 au lait is tr\u00e8s bon,good\nplain words,bad\n"
CHINESE = "文本,标签\n这家餐厅的菜很好吃，服务也很周到,好评\n等了一个小时，太慢了,差评\n"
cells = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)
files = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options) -> list[dict]:
    batches = list(read_batches(path, detect_source(path, **options)))
    return pa.Table.from_batches(batches).to_pylist()


def fail(path: Path, **options) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    assert not caught.value.text("en").startswith("errors.")
    assert "{" not in caught.value.text("zh").replace('{"text"', "")
    return caught.value


def check_rows_or_sentence(path: Path) -> None:
    rows, sentence = [], ""
    try:
        rows = read(path)
    except DataError as error:
        sentence = error.text()
    assert rows or sentence
    assert not sentence.startswith("errors.")


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (ENGLISH, "utf-8", "utf-8"),
        (ENGLISH, "utf-8-sig", "utf-8-sig"),
        (ENGLISH, "utf-16", "utf-16"),
        (ENGLISH, "utf-16-le", "utf-16-le"),
        (ENGLISH, "utf-16-be", "utf-16-be"),
        (ENGLISH, "latin-1", "latin-1"),
        (ENGLISH.replace("plain", "\u201cplain\u201d"), "cp1252", "cp1252"),
        (CHINESE, "utf-8", "utf-8"),
        (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "utf-16", "utf-16"),
    ],
)
def test_encoding_is_found(tmp_path, text, encoding, found):
    path = write(tmp_path, text.encode(encoding))
    assert detect_source(path).encoding == found
    expected = [dict(zip(text.split("\n")[0].split(","), line.split(","), strict=True))
                for line in text.strip().split("\n")[1:]]  # fmt: skip
    assert read(path) == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path, delimiter):
    rows = [["id", "text", "label"], ["1", "one, two; three", "a"], ["2", 'she said "no"', "b"]]
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    path = write(tmp_path, buffer.getvalue())
    assert detect_source(path).delimiter == delimiter
    assert [list(row.values()) for row in read(path)] == rows[1:]


def test_delimiter_and_encoding_can_be_overruled(tmp_path):
    path = write(tmp_path, "a,b;c\n1,2;3\n")
    assert read(path, delimiter=";") == [{"a,b": "1,2", "c": "3"}]
    path = write(tmp_path, "text,label\n\u00e9t\u00e9,a\n".encode("latin-1"))
    assert read(path, encoding="cp1252")[0]["text"] == "\u00e9t\u00e9"
    assert fail(path, encoding="utf-8").params["line"] == 2
    assert fail(path, encoding="klingon").code == "encoding_unknown"
    assert fail(path, encoding="base64").code == "encoding_unknown"


def test_one_column_needs_no_delimiter(tmp_path):
    assert read(write(tmp_path, "text\nno comma here\nnor here\n")) == [
        {"text": "no comma here"},
        {"text": "nor here"},
    ]


def test_tsv_with_loose_quotation_marks(tmp_path):
    path = write(tmp_path, 'text\tlabel\n"quoted" start\ta\nan inch is 1"\tb\n"open\tc\n', "table.tsv")
    assert [row["text"] for row in read(path)] == ['"quoted" start', 'an inch is 1"', '"open']


def test_quoted_cells_may_hold_line_breaks(tmp_path):
    path = write(tmp_path, 'text,label\n"one\ntwo, three",a\r\nfour,b\r\n')
    assert read(path)[0] == {"text": "one\ntwo, three", "label": "a"}


@pytest.mark.parametrize(
    ("content", "name", "code", "params"),
    [
        (b"", "a.csv", "empty_file", {}),
        (b" \n\n\t\n", "a.csv", "empty_file", {}),
        (b"\xef\xbb\xbf", "a.csv", "empty_file", {}),
        (b"text,label\n", "a.csv", "header_only", {"columns": "text, label"}),
        (PNG, "a.csv", "file_is_picture", {}),
        (b"\xff\xd8\xff\xe0abc", "a.tsv", "file_is_picture", {}),
        (b"PK\x03\x04abc", "a.csv", "file_is_zip", {}),
        (b"%PDF-1.7", "a.csv", "file_is_pdf", {}),
        (b"ab\x00\x01\x02cd\x00\x00\xffrest of it", "a.csv", "binary_file", {}),
        (b'text,label\n"never closed,a\nmore,b\n', "a.csv", "broken_quoting", {"line": 2}),
        (b'text,label\nfine,b\n"a" b,c\n', "a.csv", "broken_quoting", {"line": 3}),
        (b"text,label\none,a\ntwo\n", "a.csv", "ragged_row", {"line": 3, "expected": 2, "found": 1}),
        (b"text,label\none,a,b\n", "a.csv", "ragged_row", {"line": 2, "expected": 2, "found": 3}),
        ("text,label\néé,a\nçà,b\n".encode() + b"bad \xff byte,c\n", "a.csv", "undecodable", {"line": 4}),
        (b'{"text": "a"}\n{"text": \n', "a.jsonl", "json_line", {"line": 2}),
        (b'{"text": "a"}\n\n[1, 2]\n', "a.jsonl", "json_no_object", {"line": 3}),
        (b'{"text": ' + b"[" * 100_000, "a.jsonl", "json_line", {"line": 1}),
        (b'[{"text": "a"},\n{"text": "b"\n', "a.json", "json_document", {}),
        (b'[{"text": "a"}\n{"text": "b"}]', "a.json", "json_document", {"line": 2}),
        (b'[{"text": "a"}, 5]', "a.json", "json_no_object", {}),
        (b'{"a": 1,\n "b": 2}', "a.json", "json_shape", {}),
        (b"[]", "a.json", "no_rows", {}),
        (b"PAR1 and no more", "a.parquet", "parquet_broken", {}),
        (b"one O\ntwo\n", "a.conll", "conll_columns", {"line": 2, "expected": 2, "found": 1}),
        (b"one\ntwo\n", "a.conll", "conll_one_column", {"line": 1}),
    ],
)
def test_bad_files_name_their_fault(tmp_path, content, name, code, params):
    error = fail(write(tmp_path, content, name))
    assert error.code == code
    assert {key: error.params[key] for key in params} == params


def test_missing_file(tmp_path):
    assert fail(tmp_path / "none.csv").code == "file_unreadable"


def test_names_of_columns_are_mended_and_noted(tmp_path):
    path = write(tmp_path, f"text,,text,text_2,{SPLIT}\n1,2,3,4,5\n")
    batch = next(read_batches(path, detect_source(path)))
    assert batch.schema.names == ["text", "column_2", "text_3", "text_2", f"{SPLIT}_2"]
    assert get_notes(batch.schema)[0]["code"] == "columns_renamed"
    assert read(path) == [dict(zip(batch.schema.names, "12345", strict=True))]


def test_spreadsheets_trailing_empty_cells_are_dropped(tmp_path):
    assert read(write(tmp_path, "text,label\none,a,,\n")) == [{"text": "one", "label": "a"}]


def test_json_keeps_the_letters_of_numbers_and_finds_late_columns(tmp_path):
    lines = ['{"a": 1, "b": 1.0, "c": true}', '{"a": null, "b": NaN, "d": ["x", 2, null]}', '{"d": "y"}']
    rows = read(write(tmp_path, "\n".join(lines), "rows.jsonl"))
    assert rows[0] == {"a": "1", "b": "1.0", "c": "true", "d": None}
    assert rows[1] == {"a": None, "b": None, "c": None, "d": ["x", "2", None]}
    assert rows[2]["d"] == ["y"]


def test_json_objects_in_cells_become_text_and_half_surrogates_do_not_fail(tmp_path):
    rows = read(write(tmp_path, '{"a": {"b": [1]}, "c": "\\ud800!"}\n', "rows.jsonl"))
    assert rows == [{"a": '{"b": ["1"]}', "c": "?!"}]


@pytest.mark.parametrize(
    "document",
    [
        '[{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]',
        '{"version": "1", "data": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]}',
        '{"text": ["a", "b"], "label": ["x", "y"]}',
        '{"text": {"0": "a", "1": "b"}, "label": {"0": "x", "1": "y"}}',
        '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}',
    ],
)
def test_json_documents_of_every_shape(tmp_path, document):
    assert read(write(tmp_path, document, "table.json")) == [
        {"text": "a", "label": "x"},
        {"text": "b", "label": "y"},
    ]


def test_a_long_json_list_is_streamed_across_chunks(tmp_path):
    rows = [{"text": "word " * 50, "number": str(number)} for number in range(6000)]
    assert read(write(tmp_path, json.dumps(rows, indent=1), "table.json")) == rows


def test_conll_columns_comments_and_blocks(tmp_path):
    text = "-DOCSTART- -X- O\n\n# a comment\nEU NNP B-ORG\n# NN O\n\n \nBrussels NNP B-LOC\n"
    assert read(write(tmp_path, text, "a.conll")) == [
        {"tokens": ["EU", "#"], "column_2": ["NNP", "NN"], "tags": ["B-ORG", "O"]},
        {"tokens": ["Brussels"], "column_2": ["NNP"], "tags": ["B-LOC"]},
    ]


def test_conll_is_known_by_its_content(tmp_path):
    path = write(tmp_path, "I O\nam O\nAnn B-PER\n\nHi O\nBob B-PER\n", "upload.txt")
    assert detect_source(path).format == "conll"
    assert read(path)[1]["tokens"] == ["Hi", "Bob"]


def test_conllu_numbers_are_passed_over(tmp_path):
    line = "{}\t{}\t_\tNOUN\t_\t_\t0\troot\t_\t_\n"
    text = "# text = a b\n" + line.format("1-2", "ab") + line.format(1, "a") + line.format(2, "b")
    assert read(write(tmp_path, text, "a.conllu"))[0]["tokens"] == ["a", "b"]


def test_parquet_of_many_types(tmp_path):
    table = pa.table(
        {
            "text": pa.array(["a", None], pa.large_string()),
            "whole": pa.array([1, None], pa.int64()),
            "floats": pa.array([1.0, float("nan")], pa.float64()),
            "score": pa.array([0.5, 2.0], pa.float32()),
            "flag": [True, False],
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "words": [["a", "b"], None],
            "numbers": [[1, 2], []],
            "nested": [{"k": 1}, None],
        }
    )
    pq.write_table(table, tmp_path / "t.bin")
    assert read(tmp_path / "t.bin") == [
        {"text": "a", "whole": "1", "floats": "1", "score": "0.5", "flag": "true", "kind": "x",
         "words": ["a", "b"], "numbers": ["1", "2"], "nested": '{"k": 1}'},
        {"text": None, "whole": None, "floats": None, "score": "2", "flag": "false", "kind": "y",
         "words": None, "numbers": [], "nested": None},
    ]  # fmt: skip


@files
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a.conll", "a.pq"]))
def test_any_bytes_are_rows_or_a_sentence(tmp_path, content, name):
    path = write(tmp_path, content, name)
    check_rows_or_sentence(path)


@files
@given(st.text(st.characters(codec="utf-8"), max_size=300), st.sampled_from(["a.csv", "a.json", "a.jsonl", "a.bio"]))
def test_any_text_is_rows_or_a_sentence(tmp_path, content, name):
    path = write(tmp_path, content, name)
    check_rows_or_sentence(path)


@files
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=20), st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]))
def test_csv_round_trip(tmp_path, rows, encoding):
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *rows])
    path = write(tmp_path, buffer.getvalue().encode(encoding))
    assert read(path, delimiter=",", encoding=encoding) == [{"text": text, "label": label} for text, label in rows]


plain = st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace").decode())
json_rows = st.fixed_dictionaries({"text": plain, "tags": st.lists(cells, max_size=4)})


@files
@given(st.lists(json_rows, min_size=1, max_size=20))
def test_json_lines_round_trip(tmp_path, rows):
    path = write(tmp_path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "a.jsonl")
    assert read(path) == rows
