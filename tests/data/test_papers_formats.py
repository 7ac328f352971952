"""Formats other than PDF: each file is written here as its makers write it."""

import json

import pytest

from eutectic.data import readers
from eutectic.errors import InputError

CUT = ("references", "acknowledgements", "authors")


def read(tmp_path, name, content):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    (document,), _ = readers.read(file, lambda _: True, CUT)
    return document


def sections(document):
    return [(section.title, " ".join(document.text[section.start : section.end].split())) for section in document.sections]


JATS = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal Archiving DTD v1.2 20190208//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta>
<article-id pub-id-type="doi">10.1234/silk.5</article-id>
<title-group><article-title>Silk of <italic>Nephila</italic></article-title></title-group>
<contrib-group><contrib><name><surname>Weaver</surname></name></contrib></contrib-group>
<pub-date><year>2019</year></pub-date>
<permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/"><license-p>CC BY</license-p></license></permissions>
<abstract><p>Silk is tough.</p></abstract></article-meta></front>
<body><sec><title>Results</title><p>The strength is 1.1 GPa <xref ref-type="bibr">[1]</xref>.
<fig><label>Figure 1</label><caption><p>A spinneret.</p></caption></fig></p>
<sec><title>Water</title><p>It contracts.</p></sec></sec>
<sec><title>Data</title><table-wrap><label>Table 1.</label><caption><p>Values.</p></caption>
<table><tr><th>fibre</th><th>GPa</th></tr><tr><td>silk</td><td>1.1</td></tr></table></table-wrap></sec></body>
<back><ack><p>We thank the spiders.</p></ack><ref-list><ref>Weaver 2001</ref></ref-list></back></article>"""


def test_jats(tmp_path):
    document = read(tmp_path, "a.xml", JATS)
    assert (document.title, document.doi, document.year) == ("Silk of Nephila", "10.1234/silk.5", 2019)
    assert document.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert [title for title, _ in sections(document)] == ["Abstract", "Results", "Water", "Data"]
    assert "1.1 GPa [1]." in document.text
    assert [(mark.kind, document.text[mark.start : mark.end]) for mark in document.marks] == [
        ("caption", "Figure 1. A spinneret."),
        ("caption", "Table 1. Values."),
        ("table", "fibre\tGPa\nsilk\t1.1"),
    ]
    for gone in ("spiders", "Weaver"):
        assert gone not in document.text


TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><titleStmt><title level="a">Nacre</title></titleStmt>
<publicationStmt><date type="published" when="2015-03-02">2 March 2015</date></publicationStmt>
<sourceDesc><biblStruct><analytic><idno type="DOI">10.5/nacre</idno></analytic></biblStruct></sourceDesc></fileDesc>
<profileDesc><abstract><div><p>Bricks and mortar.</p></div></abstract></profileDesc></teiHeader>
<text><body><div><head n="1">Introduction</head><p>Shells are tough.</p><formula>K = s a</formula></div>
<figure type="table"><head>Table 1</head><figDesc>Layers</figDesc><table><row><cell>a</cell><cell>b</cell></row></table></figure></body>
<back><div type="acknowledgement"><div><p>We thank the sea.</p></div></div>
<div type="references"><listBibl><biblStruct>Old paper</biblStruct></listBibl></div></back></text></TEI>"""


def test_tei_of_grobid(tmp_path):
    document = read(tmp_path, "a.tei.xml", TEI)
    assert (document.title, document.doi, document.year) == ("Nacre", "10.5/nacre", 2015)
    assert [title for title, _ in sections(document)] == ["Abstract", "1 Introduction"]
    assert "K = s a" in document.text
    assert [mark.kind for mark in document.marks] == ["caption", "table"]
    assert "sea" not in document.text
    assert "Old paper" not in document.text


HTML = """<!doctype html><html><head><title>Bone - A Journal</title><meta name="citation_title" content="Bone">
<meta name="citation_doi" content="10.9/bone"><meta name="citation_publication_date" content="2020/05/01"></head>
<body><nav><a href="/">Home</a></nav><article><h1>Bone</h1><h2>Structure</h2><p>Collagen and <b>mineral</b>,
with H<sub>2</sub>O.</p><ul><li>Osteons</li><li>Lamellae</li></ul><figure><img src="x.png"><figcaption>Figure 1. An osteon.</figcaption></figure>
<table><tr><td>E</td><td>20 GPa</td></tr></table><script>alert(1)</script>
<h2>References</h2><p>Old work</p></article><footer>Cookies</footer></body></html>"""


def test_html(tmp_path):
    document = read(tmp_path, "a.html", HTML)
    assert (document.title, document.doi, document.year) == ("Bone", "10.9/bone", 2020)
    assert ("Structure", "Collagen and mineral, with H2O. Osteons Lamellae Figure 1. An osteon. E 20 GPa") in sections(document)
    for gone in ("Home", "alert", "Old work", "Cookies"):
        assert gone not in document.text


LATEX = r"""\documentclass{article}
\title{On \emph{keratin} and $\alpha$-helices}
\begin{document}\maketitle
\begin{abstract}Hair is strong.\end{abstract}
\section{Theory}\label{s:t}
Stress is \textbf{force} over area~\cite{a,b}. % a comment
The strain $\epsilon$ follows.

Another paragraph of Schr\"odinger.
\begin{equation} \sigma = E \epsilon \end{equation}
\begin{table}\caption{Moduli of {two} fibres}\begin{tabular}{ll} hair & 4 GPa \\ \hline horn & 3 GPa \\ \end{tabular}\end{table}
\subsection*{Outlook}
\begin{itemize}\item one thing \item another\end{itemize}
\begin{thebibliography}{9}\bibitem{a} An old book.\end{thebibliography}
\end{document}"""


def test_latex(tmp_path):
    document = read(tmp_path, "a.tex", LATEX)
    assert document.title == r"On keratin and $\alpha$-helices"
    assert [title for title, _ in sections(document)] == ["Abstract", "Theory", "Outlook"]
    assert "Stress is force over area. The strain $\\epsilon$ follows.\n\nAnother paragraph of Schrödinger." in document.text
    assert r"\sigma = E \epsilon" in document.text
    assert "hair\t4 GPa\nhorn\t3 GPa" in document.text
    assert "Moduli of two fibres" in document.text
    assert "one thing" in document.text
    for gone in ("comment", "cite", "old book", "label"):
        assert gone not in document.text


DOCLING = {
    "schema_name": "DoclingDocument",
    "version": "1.7.0",
    "body": {
        "self_ref": "#/body",
        "children": [{"$ref": f"#/texts/{i}"} for i in range(3)] + [{"$ref": "#/tables/0"}, {"$ref": "#/groups/0"}],
    },
    "furniture": {"self_ref": "#/furniture", "children": [{"$ref": "#/texts/5"}]},
    "groups": [{"self_ref": "#/groups/0", "label": "list", "children": [{"$ref": "#/texts/4"}]}],
    "texts": [
        {"self_ref": "#/texts/0", "label": "title", "text": "Chitin", "prov": [{"page_no": 1}]},
        {"self_ref": "#/texts/1", "label": "section_header", "text": "Results", "prov": [{"page_no": 1}]},
        {"self_ref": "#/texts/2", "label": "text", "text": "Shells of crabs.", "prov": [{"page_no": 2}]},
        {"self_ref": "#/texts/3", "label": "caption", "text": "Table 1: Crabs"},
        {"self_ref": "#/texts/4", "label": "list_item", "text": "A claw"},
        {"self_ref": "#/texts/5", "label": "page_header", "text": "Journal of Crabs"},
    ],
    "tables": [
        {
            "self_ref": "#/tables/0",
            "label": "table",
            "captions": [{"$ref": "#/texts/3"}],
            "children": [{"$ref": "#/texts/3"}],
            "prov": [{"page_no": 2}],
            "data": {"grid": [[{"text": "claw"}, {"text": "2 GPa"}]]},
        }
    ],
}
MARKER = {
    "block_type": "Document",
    "children": [
        {
            "block_type": "Page",
            "children": [
                {"block_type": "PageHeader", "html": "<p>Journal</p>"},
                {"block_type": "SectionHeader", "html": "<h2>Results</h2>"},
                {"block_type": "Text", "html": "<p>Shells of <b>crabs</b>.</p>"},
                {
                    "block_type": "TableGroup",
                    "children": [{"block_type": "Table", "html": "<table><tr><td>claw</td><td>2 GPa</td></tr></table>"}],
                },
            ],
        }
    ],
}


def test_docling(tmp_path):
    document = read(tmp_path, "a.json", json.dumps(DOCLING))
    assert document.title == "Chitin"
    assert document.text == "Results\n\nShells of crabs.\n\nTable 1: Crabs\n\nclaw\t2 GPa\n\nA claw"
    assert [(span.page, document.text[span.start : span.end][:6]) for span in document.spans] == [(1, "Result"), (2, "Shells")]


def test_marker(tmp_path):
    document = read(tmp_path, "a.json", json.dumps(MARKER))
    assert document.text == "Results\n\nShells of crabs.\n\nclaw\t2 GPa"
    assert document.spans[0].page == 1


def test_markdown_of_a_converter(tmp_path):
    text = "# Silk\n\n## 1 Results\n\nA *tough* [fibre](x).\n\n![](a.png)\n\nFigure 1: A web.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## References\n\n- Old\n"
    document = read(tmp_path, "a.md", text)
    assert document.title == "Silk"
    assert document.text == "1 Results\n\nA tough fibre.\n\nFigure 1: A web.\n\na\tb\n1\t2"


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]><article><body><p>&y;</p></body></article>'
)
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><article><body><p>&x;</p></body></article>'


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bomb.xml", BOMB, "entities"),
        ("outside.xml", OUTSIDE, "entities"),
        ("cut.xml", JATS[:600], r"cut.xml, line \d+: is not XML"),
        ("other.xml", "<svg><g/></svg>", "`svg`"),
        ("other.json", '{"a": 1}', "neither docling nor marker"),
        ("cut.json", '{"a": 1', "is not JSON"),
        ("page.pdf", HTML, "is no PDF"),
        ("paper.txt", "%PDF-1.7 ...", "PDF under another name"),
        ("empty.html", "<html><body><script>1</script></body></html>", "holds no text"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path, name, content)


def test_a_loop_of_links_is_refused(tmp_path):
    (tmp_path / "a.txt").symlink_to(tmp_path / "b.txt")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(InputError, match="cannot be read"):
        readers.read(tmp_path / "a.txt", lambda _: True)
