from __future__ import annotations

import sys
import zipfile
import zlib
from pathlib import Path

import docx
import pypdf
import pytest

from bicross.errors import MissingExtraError
from bicross.readers import Document, read


def one(path: Path) -> Document:
    [document] = read(path)
    assert isinstance(document, Document)
    return document


HTML = """<!doctype html><html><head><title> The  Guide </title><style>p {}</style></head><body>
<nav><a href="/">Home</a></nav><script>var x;</script><!-- no -->
<h1>Guide</h1><p>One <b>two</b>
three.</p><h2>In<i>stall</i></h2><ul><li>a<li>b <ul><li>c</li></ul></ul>
<table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>2</td></tr></table>
<pre>x = 1
  y</pre>last<br>line</body></html>"""


def test_html(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(HTML)
    document = one(path)
    assert document.title == "The Guide"
    assert document.text == (
        "Guide\n\nOne two three.\n\nInstall\n\n- a\n- b\n\n- c\n\nk | v\n1 | 2\n\nx = 1\n  y\n\nlast\nline"
    )
    assert [(h.level, h.title, document.text[h.start : h.end]) for h in document.headings] == [
        (1, "Guide", "Guide"),
        (2, "Install", "Install"),
    ]


def test_html_keeps_the_lines_of_code(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<p>Run:</p><pre>\n<code><b>if</b> x:\n<i>    y</i>\n\n<i>z</i>\n</code></pre><p>Done.</p>")
    assert one(path).text == "Run:\n\nif x:\n    y\n\nz\n\n\nDone."


def test_html_main_and_declared_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.htm"
    path.write_bytes('<meta charset="latin-1"><div>out</div><main><p>naïve</p></main>'.encode("latin-1"))
    assert one(path).text == "naïve"


def test_html_deeper_than_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<div>" * 5000 + "deep" + "</div>" * 5000)
    assert one(path).text == "deep"


def test_html_that_no_parser_takes_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>one</p><![C=ATA[ two")
    (tmp_path / "b.html").write_text("<p>three")
    reading = read(tmp_path)
    assert [passage.text for passage in reading] == ["three"]
    [skipped] = reading.skipped
    assert skipped.reason.startswith("damaged: it holds a '<!'")


def write_pdf(path: Path, pages: list[str], *, title: str | None = None) -> None:
    """A PDF as its standard describes it: each page one line of Helvetica."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    data += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n".encode()
    data += f"startxref\n{data.index(b'xref')}\n%%EOF\n".encode()
    path.write_bytes(data)
    if title is not None:
        writer = pypdf.PdfWriter(clone_from=path)
        writer.add_metadata({"/Title": title})
        writer.write(path)


def test_pdf_pages_and_outline(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    write_pdf(path, ["Intro starts here.", "", "Install it now."], title="Manual")
    writer = pypdf.PdfWriter(clone_from=path)
    parent = writer.add_outline_item(title="Intro", page_number=0)
    writer.add_outline_item(title="Install", page_number=2, parent=parent)
    writer.add_outline_item(title="Not in the text", page_number=2)
    writer.write(path)
    document = one(path)
    assert document.text == "Intro starts here.\f\fInstall it now."
    assert document.title == "Manual"
    assert [(h.start, h.level, h.title) for h in document.headings] == [(0, 1, "Intro"), (20, 2, "Install")]


def test_pdf_title_that_is_a_file_name_is_none(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", ["x"], title="Microsoft Word - report.doc")
    assert one(tmp_path / "a.pdf").title is None


def test_pdfs_that_are_skipped(tmp_path: Path) -> None:
    write_pdf(tmp_path / "images.pdf", ["", ""])
    write_pdf(tmp_path / "plain.pdf", ["secret"])
    for name, user in [("locked.pdf", "password"), ("open.pdf", "")]:
        writer = pypdf.PdfWriter(clone_from=tmp_path / "plain.pdf")
        writer.encrypt(user, "owner", algorithm="RC4-128")
        writer.write(tmp_path / name)
    (tmp_path / "broken.pdf").write_bytes((tmp_path / "plain.pdf").read_bytes()[:200])
    (tmp_path / "empty.pdf").touch()
    reading = read(tmp_path)
    assert [passage.meta["file_name"] for passage in reading] == ["open.pdf", "plain.pdf"]
    reasons = {Path(skipped.path).name: skipped.reason for skipped in reading.skipped}
    assert reasons["locked.pdf"] == "encrypted: it needs a password; save it without one"
    assert reasons["images.pdf"].startswith("no text: its pages are images")
    assert reasons["broken.pdf"].startswith("damaged: ")
    assert reasons["empty.pdf"].startswith("damaged: ")


@pytest.mark.parametrize("error", [AssertionError, NotImplementedError, zlib.error])
def test_whatever_a_broken_pdf_makes_its_library_raise_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(_: object) -> str:
        raise error("mypy")

    write_pdf(tmp_path / "a.pdf", ["x"])
    monkeypatch.setattr(pypdf.PageObject, "extract_text", fail)
    [skipped] = read(tmp_path).skipped
    assert skipped.reason == "damaged: mypy"


def test_docx(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    document = docx.Document()
    document.core_properties.title = "from the properties"
    document.add_heading("Manual", 0)
    document.add_heading("Install", 1)
    document.add_paragraph("First  line.")
    table = document.add_table(2, 2)
    for cell, text in zip([c for row in table.rows for c in row.cells], ["k", "v", "1", ""], strict=True):
        cell.text = text
    document.add_heading("On Linux", 2)
    document.save(str(path))
    read_back = one(path)
    assert read_back.title == "Manual"
    assert read_back.text == "Manual\n\nInstall\n\nFirst  line.\n\nk | v\n1\n\nOn Linux"
    assert [(h.level, h.title, read_back.text[h.start : h.end]) for h in read_back.headings] == [
        (1, "Install", "Install"),
        (2, "On Linux", "On Linux"),
    ]


def test_damaged_docx_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"\xd0\xcf\x11\xe0 what a password makes of it")
    [skipped] = read(tmp_path).skipped
    assert skipped.reason.startswith("damaged, or protected by a password")


@pytest.mark.parametrize("damage", ["data", "encryption", "method"])
def test_a_docx_whose_archive_is_damaged_is_skipped(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.docx"
    document = docx.Document()
    document.add_paragraph("text " * 100)
    document.save(str(path))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("word/document.xml").header_offset
    if damage == "data":
        data[place + 60 : place + 90] = b"\xff" * 30
    else:  # in the entry of the archive's directory, too
        offset, value = (6, 1) if damage == "encryption" else (8, 99)
        data[place + offset] = value
        data[data.index(b"word/document.xml", data.index(b"PK\x01\x02")) - 46 + offset + 2] = value
    path.write_bytes(data)
    (tmp_path / "b.txt").write_text("read all the same")
    reading = read(tmp_path)
    assert [passage.text for passage in reading] == ["read all the same"]
    assert reading.skipped[0].reason.startswith("damaged, or protected by a password: ")


def test_a_docx_that_would_fill_the_memory_is_skipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(201 << 20))
    assert (tmp_path / "a.docx").stat().st_size < 1 << 20
    [skipped] = read(tmp_path).skipped
    assert skipped.reason.startswith("too large: it unpacks to")


@pytest.mark.parametrize(
    ("name", "library", "package"),
    [("a.html", "bs4", "beautifulsoup4"), ("a.pdf", "pypdf", "pypdf"), ("a.docx", "docx", "python-docx")],
)
def test_missing_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, library: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b.txt").write_text("read all the same")
    reading = read(tmp_path)
    assert [passage.text for passage in reading] == ["read all the same"]
    [skipped] = reading.skipped
    assert package in skipped.reason
    with pytest.raises(MissingExtraError, match=r'pip install "bicross\[files\]"'):
        read(tmp_path / name)
