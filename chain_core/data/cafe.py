"""The tiny sample: what guests say in a café. Made here, so that a lecture needs no file.

Three heads on one text: what the guest wants, in which mood, and what is asked for (BIO). Moods share some of
their phrases, intents a few of their sentences, food and drink some of their words: there is something to miss.
"""

from __future__ import annotations

import random
from typing import Any

_WORDS = {
    "drink": ("coffee", "flat white", "green tea", "hot chocolate", "orange juice", "lemonade", "espresso",
              "iced coffee", "mint tea", "apple juice", "water"),
    "food": ("apple pie", "chocolate cake", "cheese toast", "croissant", "lemon tart", "tomato soup", "muffin",
             "green salad", "mint cookies", "orange cake", "bagel"),
    "count": ("one", "two", "three", "four", "a", "another", "a few"),
    "size": ("small", "large", "medium", "double", "extra large"),
    "time": ("at noon", "at eight", "tonight", "tomorrow", "this evening", "on friday", "in ten minutes"),
    "place": ("by the window", "outside", "in the corner", "upstairs", "near the door"),
}  # fmt: skip
_WANTS = {
    "order": ("can i have {count} {size} {drink}", "{count} {drink} and {count} {food}", "i would like {count} {food}",
              "we will take {count} {drink} {place}", "bring us {count} {size} {drink}",
              "i want the {food} and {drink}"),
    "change": ("make the {drink} {size}", "i want {drink} instead of {drink}", "can we move {place}",
               "please swap the {food} for {count} {food}", "i would like the {size} one after all",
               "i wanted {count} {size} {drink}", "no {food} for us {time}"),
    "cancel": ("we do not want the {food}", "take the {drink} off", "i can not come {time}",
               "forget about the {count} {drink}", "no {food} for us {time}"),
    "book": ("a table for {count} {time}", "can we sit {place} {time}", "i would like {count} seats {place}",
             "is there a table {place} {time}", "keep {count} seats {time}"),
    "ask": ("is there milk in the {drink}", "how big is the {size} {drink}", "do you have {food} {time}",
            "what is in the {food}", "are you open {time}"),
    "complain": ("the {drink} is cold", "i wanted {count} {food} not {drink}", "we have been waiting {place}",
                 "the {food} tastes old", "this is not a {size} {drink}", "i wanted {count} {size} {drink}"),
}  # fmt: skip
_OPENINGS = {
    "pleased": ("lovely place", "good morning", "hello", "everything was great", "hi there", "thanks"),
    "calm": ("hello", "good morning", "excuse me", "well", "so", "hi there"),
    "annoyed": ("excuse me", "listen", "again", "well", "for the second time", "honestly"),
}
_ENDINGS = {
    "pleased": ("thank you so much", "please", "that would be lovely", "thanks", "wonderful"),
    "calm": ("please", "thanks", "if possible", "for now", "when you can"),
    "annoyed": ("right now", "if possible", "for once", "i mean it", "when you can"),
}
_MOODS = {"complain": (1, 2, 7), "cancel": (2, 5, 3), "book": (4, 5, 1)}
_DEFAULT_MOODS = (4, 4, 2)


def build_guests(rows: int, seed: int) -> list[dict[str, Any]]:
    """`rows` different sentences: tokens, intent, mood, items (BIO)."""
    generator = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    guests: list[dict[str, Any]] = []
    while len(guests) < rows:
        intent = generator.choice(list(_WANTS))
        mood = generator.choices(list(_OPENINGS), _MOODS.get(intent, _DEFAULT_MOODS))[0]
        tokens, tags = _fill(generator.choice(_WANTS[intent]), generator)
        opening = generator.choice(_OPENINGS[mood]).split() if generator.random() < 0.75 else []
        ending = generator.choice(_ENDINGS[mood]).split() if generator.random() < 0.75 or not opening else []
        tokens, tags = [*opening, *tokens, *ending], ["O"] * len(opening) + tags + ["O"] * len(ending)
        if tuple(tokens) not in seen:
            seen.add(tuple(tokens))
            guests.append({"tokens": tokens, "intent": intent, "mood": mood, "items": tags})
    return guests


def _fill(template: str, generator: random.Random) -> tuple[list[str], list[str]]:
    tokens: list[str] = []
    tags: list[str] = []
    for part in template.split():
        kind = part.strip("{}")
        words = generator.choice(_WORDS[kind]).split() if part.startswith("{") else [part]
        tokens += words
        tags += [f"B-{kind}", *[f"I-{kind}"] * (len(words) - 1)] if part.startswith("{") else ["O"]
    return tokens, tags
