"""Spans are seqeval's entities, and nothing in a word or label becomes markup."""

from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from chain_core.reports.spans import HUES, build_spans, choose_colours, join_words, render_spans

tags = st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b", "E-a", "S-b"]), max_size=12)


@given(tags)
def test_spans_are_seqevals_entities_and_cover_every_word(tags):
    spans = build_spans(tags)
    found = [(span.label, span.start, span.end - 1) for span in spans if span.label]
    assert found == get_entities(tags)
    assert [i for span in spans for i in range(span.start, span.end)] == list(range(len(tags)))


@given(st.lists(st.tuples(st.text(max_size=8), st.sampled_from(["O", "B-x", "I-x"])), max_size=8), st.text(max_size=8))
def test_nothing_becomes_markup(pairs, label):
    words = [word for word, _ in pairs]
    named = [tag.replace("x", label) if tag != "O" else tag for _, tag in pairs]
    rendered = render_spans(words, named, choose_colours([label]))
    ours = re.sub(r'</?(div|small|mark)( class="\w+"| style="[\w:(),.;-]+"| dir="auto")*>', "", rendered)
    assert "<" not in ours
    assert ">" not in ours
    text = html.unescape(re.sub(r"<small>.*?</small>", "", rendered, flags=re.S))
    assert all(word in text for word in words if "<" not in word)


def test_spans_that_gold_lacks_are_marked():
    words = ["to", "new", "york"]
    right, wrong = ["O", "B-city", "I-city"], ["O", "O", "B-city"]
    colours = choose_colours(["city"])
    assert 'class="odd"' not in render_spans(words, right, colours, right)
    assert render_spans(words, wrong, colours, right).count('class="odd"') == 1
    assert "new york<small>city" in render_spans(words, right, colours)


def test_fewer_or_more_tags_than_words():
    assert "b" in render_spans(["a", "b"], ["B-x"], {})
    assert render_spans([], ["B-x"], {}) == '<div class="spans" dir="auto"></div>'


def test_chinese_words_touch_and_others_do_not():
    assert join_words(["播放", "周杰伦", "的", "jazz", "music"]) == "播放周杰伦的 jazz music"
    assert join_words(["서울", "날씨"]) == "서울 날씨"


def test_colours_do_not_depend_on_order():
    assert choose_colours(["b", "a", "a"]) == choose_colours(["a", "b"])
    assert len(set(choose_colours([f"t{i}" for i in range(25)]).values())) == len(HUES)
