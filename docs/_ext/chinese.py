"""Search in Chinese, which has no spaces between words: a term is a pair of neighbouring characters."""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.zh import SearchChinese

_WORD = re.compile(r"([\u3400-\u9fff]+)|[^\W\u3400-\u9fff]+")


class Pairs(SearchChinese):
    """Pairs of Chinese characters, and words of other scripts."""

    lang = "zh_CN"
    # Sphinx loads the English stemmer for Chinese, and calls it by this name.
    language_name = "English"
    js_splitter_code = r"""
function splitQuery(query) {
  const words = query.matchAll(/([\u3400-\u9fff]+)|(?:(?![\u3400-\u9fff])[\p{Letter}\p{Number}_])+/gu);
  const pairs = (run) => [...run].slice(1).map((_, place) => run.slice(place, place + 2));
  return [...words].flatMap(([word, chinese]) => (chinese ? pairs(chinese) : [word]));
}
"""

    def split(self, input: str) -> list[str]:
        found = []
        for word in _WORD.finditer(input):
            found += [word[0][place : place + 2] for place in range(len(word[0]) - 1)] if word[1] else [word[0]]
        self.latin_terms.update(term for term in found if term.isascii())
        return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_search_language(Pairs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
