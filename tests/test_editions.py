"""The editions of the documentation in other languages keep up with the English one: see docs/editions.py."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import editions  # noqa: E402

pytestmark = pytest.mark.docs

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in editions.pages()]

ENGLISH = """# Losses

A loss is a number.

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
| `l1`, `mse` | -1 | others |

```{picture} curve
:x: error

A curve.
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
| `l1`、`mse` | -1 | 其他 |

```{picture} curve
:x: 误差

一条曲线。
```
"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_the_english_one(page: Path) -> None:
    """It exists, and what needs no translation is the same. So test_docs.py runs the English blocks of code alone."""
    assert editions.original(page).exists()
    text, english = (path.read_text(encoding="utf-8") for path in (page, editions.original(page)))
    assert list(editions.differences(text, english)) == []
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
def test_what_is_not_the_same_is_noticed(old: str, new: str, what: str) -> None:
    assert list(editions.differences(CHINESE, ENGLISH)) == []
    altered = CHINESE.replace(old, new)
    assert altered != CHINESE
    assert list(editions.differences(altered, ENGLISH)) == [f"{what} are not those of the English page"]


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
def confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The Chinese page, as it is after it was confirmed."""
    english, page = tmp_path / "docs" / "losses.md", tmp_path / "docs" / "zh" / "losses.md"
    page.parent.mkdir(parents=True)
    english.write_text(ENGLISH, encoding="utf-8")
    page.write_text(CHINESE, encoding="utf-8")
    monkeypatch.setattr(editions, "ROOT", tmp_path)
    assert editions.changed(CHINESE, ENGLISH) == ["Losses", "Values"]
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
    exact = {"ahead of 7 by 1": "领先"}
    assert editions.translate(table, exact)[1] - set(exact) == {"why", "call", "{} cores."}


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
