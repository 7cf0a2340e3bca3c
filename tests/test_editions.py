"""The editions of the documentation in other languages keep up with the English one: see docs/editions.py."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from string import Formatter

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import editions  # noqa: E402

pytestmark = pytest.mark.docs

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in editions.pages()]

ENGLISH = """# Losses

A loss is a number: the less of it, the better.

```python
# a comment, and no heading
loss = 1.0
```

## Values

<!-- begin ratios: a command -->
| where | ratio |
|---|---|
| NumPy | 0.51 |
<!-- end ratios -->

| name | value | what |
|---|---|---|
| `huber` | 0.51 | between the two |
| the middle | 0.25 | |
| `l1`, `mse` | -1 | others |

```{picture} curve
:x: error

A curve of 7 points.
```

## Use

Call `polyloss.mse`, [or another one](more.md#all), with two arrays.

Rows that are wrong, 3 of 100, do not count; neither do the eight rows that `where=` takes out.

- [The paper](https://example.org/paper)
- `reduction="sum"` for sums

```python
polyloss.mse(x, y)  # 2.25
```
"""
CHINESE = """# 损失

损失是一个数，
越小越好。

```python
# a comment, and no heading
loss = 1.0
```

## 值

<!-- begin ratios: a command -->
| 在哪里 | 比值 |
|---|---|
| NumPy | 0.51 |
<!-- end ratios -->

| 名称 | 值 | 说明 |
|---|---|---|
| `huber` | 0.51 | 介于两者之间 |
| 中间 | 0.25 | |
| `l1`、`mse` | -1 | 其他 |

```{picture} curve
:x: 误差

由 7 个点画成的曲线。
```

## 用法

用两个数组调用 `polyloss.mse`，[或者别的损失](../more.md#all)。这里 `mse` 的结果是 2.25。

错误的行（100 行中有 3 行）不计入；用 `where=` 排除的那 8 行也不计入。

- [论文](https://example.org/paper)
- 求和用 `reduction="sum"`

```python
polyloss.mse(x, y)  # 2.25
```
"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_the_english_one(page: Path) -> None:
    """It exists, and what needs no translation is the same. So test_docs.py runs the English blocks of code alone."""
    assert editions.original(page).exists()
    assert list(editions.differences(page)) == []
    assert list(editions.detours(page)) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_keeps_up_with_the_english_one(page: Path) -> None:
    english = editions.original(page)
    changed = editions.changed(page.read_text(encoding="utf-8"), english.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT)
    assert changed == [], (
        f"{name} was made from other sections of {english.relative_to(ROOT)} than it has now: {', '.join(changed)}. "
        f"Bring it up to date, then: python docs/editions.py confirm {name}"
    )


@pytest.mark.parametrize("page", PAGES)
def test_the_type_of_a_page_is_that_of_its_language(page: Path) -> None:
    assert list(editions.slips(page.read_text(encoding="utf-8"))) == []


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Chinese page, beside the English one."""
    english, page = tmp_path / "docs" / "losses.md", tmp_path / "docs" / "zh" / "losses.md"
    page.parent.mkdir(parents=True)
    english.write_text(ENGLISH, encoding="utf-8")
    page.write_text(CHINESE, encoding="utf-8")
    monkeypatch.setattr(editions, "ROOT", tmp_path)
    assert list(editions.differences(page)) == []
    return page


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("loss = 1.0", "loss = 1.5", "blocks of code"),
        ("# a comment, and no heading", "# 注释", "blocks of code"),
        ("{picture} curve", "{picture} curves", "blocks of code"),
        ("## 值", "### 值", "levels of headings"),
        ("<!-- end ratios -->\n", "", "marks of generated tables"),
        ("| `huber` | 0.51 |", "| `hubert` | 0.51 |", "rows of tables that begin with code"),
        ("| `huber` | 0.51 |", "| `huber` | 0.52 |", "rows of tables that begin with code"),
        ("| -1 |", "| 1 |", "rows of tables that begin with code"),
        ("| `huber` | 0.51 | 介于两者之间 |\n", "", "rows of tables that begin with code"),
    ],
)
def test_what_is_not_the_same_is_noticed(old: str, new: str, what: str, page: Path) -> None:
    altered = CHINESE.replace(old, new)
    assert altered != CHINESE
    page.write_text(altered, encoding="utf-8")
    assert f"{what} are not those of the English page" in list(editions.differences(page))


SECOND = "错误的行（100 行中有 3 行）不计入；用 `where=` 排除的那 8 行也不计入。"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (
            "| 中间 | 0.25 |",
            "| 中间 | 0.26 |",
            ["Values: numbers: 0.25", "Values: numbers: 0.26 is not in the English section"],
        ),
        (
            "| 中间 | 0.25 |",
            "| 中间 | -0.25 |",
            ["Values: numbers: 0.25", "Values: numbers: -0.25 is not in the English section"],
        ),
        ("| 中间 | 0.25 | |\n", "", ["Values: numbers: 0.25 is missing", "Values: rows: 4 instead of 5"]),
        (
            "由 7 个点",
            "由 6 个点",
            ["Values: numbers: 7 is missing", "Values: numbers: 6 is not in the English section"],
        ),
        ("100 行", "100 万行中有 100 行", ["Use: numbers: 100 is not in the English section"]),
        ("有 3 行", "有三行", ["Use: numbers: 3 is missing"]),
        ("那 8 行", "那 9 行", ["Use: numbers: 9 is not in the English section"]),
        ("是 2.25", "是 2.26", ["Use: numbers: 2.26 is not in the English section"]),
        ("../more.md#all", "../more.md#some", ["Use: links: ", "Use: links: "]),
        ("../more.md#all", "more.md#all", []),
        ("[或者别的损失](../more.md#all)", "或者别的损失", ["Use: links: "]),
        ("https://example.org/paper", "https://example.org/", ["Use: links: ", "Use: links: "]),
        ("`where=`", "`mask=`", ["Use: code: where= is missing", "Use: code: mask= is not in the English section"]),
        ("用 `where=` ", "", ["Use: code: where= is missing"]),
        ('- 求和用 `reduction="sum"`\n', "", ["Use: code: reduction", "Use: items: 1 instead of 2"]),
        (
            f"{SECOND}\n\n",
            "",
            [
                "Use: code: where= is missing",
                "Use: numbers: 3 is missing",
                "Use: numbers: 100 is missing",
                "Use: paragraphs: 1 instead of 2",
                "Use: text: ",
            ],
        ),
        (f"。\n\n{SECOND}", f"。\n{SECOND}", ["Use: paragraphs: 1 instead of 2"]),
        ("损失是一个数，\n越小越好。", "数。", ["Losses: text: 3 letters for 40 English ones"]),
        ("损失是一个数，\n越小越好。\n", "", ["Losses: paragraphs: 0 instead of 1", "Losses: text: 2 letters for 40"]),
        ("", "多余的话。\n\n", ["4 sections instead of 3"]),
    ],
)
def test_damage_to_the_text_of_a_section_is_noticed(old: str, new: str, found: list[str], page: Path) -> None:
    """What is lost, changed or made up. It is none that the page explains a block, and has words in digits."""
    altered = CHINESE.replace(old, new) if old else new + CHINESE
    assert altered != CHINESE
    page.write_text(altered, encoding="utf-8")
    said = list(editions.differences(page))
    assert len(said) == len(found), said
    assert all(one.startswith(start) for one, start in zip(said, found, strict=True)), said


@pytest.mark.parametrize(
    ("new", "wrong"), [("数\n越", "数\n越"), ("数,\n越", "数,\n越"), ("数, 越", "数, 越"), ("数.越", "数.越")]
)
def test_slips_of_type_are_noticed(new: str, wrong: str) -> None:
    assert list(editions.slips(CHINESE)) == []
    found = list(editions.slips(CHINESE.replace("数，\n越", new)))
    assert [slip.rpartition(": ")[2] for slip in found] == [repr(wrong)]


def test_paragraphs_are_joined_and_nothing_else() -> None:
    """A list, a block of code and the next paragraph begin lines of their own."""
    code = "```python\n# 注，\nx = 1\n```\n"
    text = f"值，\n梯度：\n`f`，\n[见](x.md)。\n\n另起，\n\n- 一，\n  二：\n- 三：\n1. 四：\n{code}"
    joined = f"值，梯度：`f`，[见](x.md)。\n\n另起，\n\n- 一，二：\n- 三：\n1. 四：\n{code}"
    assert editions.joined(text) == joined


def test_code_may_have_what_prose_may_not() -> None:
    assert list(editions.slips(CHINESE.replace("loss = 1.0", 'text = "值.值"'))) == []


@pytest.fixture
def confirmed(page: Path) -> str:
    """The Chinese page, as it is after it was confirmed."""
    assert editions.changed(CHINESE, ENGLISH) == ["Losses", "Values", "Use"]
    editions.confirm(page)
    once = page.read_text(encoding="utf-8")
    editions.confirm(page)
    assert page.read_text(encoding="utf-8") == once
    assert once.startswith(CHINESE)
    return once


@pytest.mark.parametrize(
    ("change", "sections"),
    [
        (lambda text: text.replace("a number", "one number"), ["Losses"]),
        (lambda text: text.replace("a comment, and no heading", "a comment"), ["Losses"]),
        (lambda text: text.replace("between the two", "in the middle"), ["Values"]),
        (lambda text: f"{text}\n## More\n\nWords.\n", ["More"]),
        (lambda text: f"Words.\n\n{text}", ["(before the first heading)"]),
        (lambda text: text[: text.index("## Values")], ["(sections were moved, or taken out)"]),
        (lambda text: text.replace("| NumPy | 0.51 |", "| NumPy | 0.49 |"), []),
        (lambda text: text.replace("A curve", "A line"), ["Values"]),
        (lambda text: text.replace("A loss is", "A loss\nis"), []),
    ],
)
def test_a_change_of_the_english_page_is_noticed(
    change: Callable[[str], str], sections: list[str], confirmed: str
) -> None:
    """By section; generated tables and line breaks do not count."""
    altered = change(ENGLISH)
    assert altered != ENGLISH
    assert editions.changed(confirmed, altered) == sections


def test_a_link_past_a_translation_is_noticed(confirmed: str, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "zh" / "more.md"
    page.write_text("[损失](losses.md#values)，[英文](../more.md)，[别处](../other.md)。\n", encoding="utf-8")
    assert list(editions.detours(page)) == []
    page.write_text("[损失](../losses.md#values)\n", encoding="utf-8")
    assert list(editions.detours(page)) == ["../losses.md is docs/zh/losses.md in this edition"]


def test_a_table_is_made_of_phrases() -> None:
    """Code and numbers stay, in a place of their own; what has no phrase is named."""
    table = "| why | call |\n|---|---|\n|  | `f(x)` |\n| ahead of 7 by 1 | 0.5 (`g`, 4Mi) |\n\n3 cores.\n"
    known = {"why": "理由", "call": "调用", "ahead of {} by {}": "以 {1} 领先 {0}", "{} cores.": "{} 个核心。"}
    made, needed = editions.translate(table, known)
    assert made == "| 理由 | 调用 |\n|---|---|\n|  | `f(x)` |\n| 以 1 领先 7 | 0.5 (`g`, 4Mi) |\n\n3 个核心。\n"
    assert needed == set(known)
    braced = "| {a: 1} of `{b}` |\n"
    assert editions.translate(braced, {"{{a: {}}} of {}": "{1} 的 {{a: {0}}}"})[0] == "| `{b}` 的 {a: 1} |\n"
    assert editions.translate(braced, {})[1] == {"{{a: {}}} of {}"}
    exact = {"ahead of 7 by 1": "领先"}
    assert editions.translate(table, exact)[1] - set(exact) == {"why", "call", "{} cores."}


@pytest.mark.parametrize("phrase", ["{} {}", "{a}", "{"])
def test_a_phrase_with_other_places_is_named(phrase: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the phrase {phrase!r} has other places than '{{}} cores'")):
        editions.translate("| 3 cores |\n", {"{} cores": phrase})


@pytest.mark.parametrize("edition", [edition for edition in editions.EDITIONS if edition])
def test_a_phrase_has_all_numbers_and_codes(edition: str) -> None:
    """As many places as what it stands for: another order is fine, a number that is lost is not."""
    said = [pair for table in editions.phrases(edition).values() for pair in table.items()]
    assert [pair for pair in said if len(set(_places(pair[1]))) != len(_places(pair[0]))] == []


def _places(phrase: str) -> list[str]:
    """Each ``{}`` by its number, as `str.format` sees it."""
    fields = [field for _, field, _, _ in Formatter().parse(phrase) if field is not None]
    return [field or str(place) for place, field in enumerate(fields)]


def test_the_command_confirms_pages_of_editions_alone(
    confirmed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    english, page = tmp_path / "docs" / "losses.md", tmp_path / "docs" / "zh" / "losses.md"
    english.write_text(f"{ENGLISH}\nMore.\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        editions.main(["confirm", str(page), str(english)])
    assert f"{english} is no page of an edition" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == confirmed
    editions.main(["confirm", str(page)])
    assert editions.changed(page.read_text(encoding="utf-8"), english.read_text(encoding="utf-8")) == []
