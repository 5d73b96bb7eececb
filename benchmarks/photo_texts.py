"""How a set's photos read: their mean cosine with the sentences that obedience is measured by.

    python benchmarks/photo_texts.py CONCEPTS [--sets a,b]

CONCEPTS holds one folder of photos a set and concepts.json with each set's kind and class word. Of
pictures of a learned word the same figure is T0 (`text_plain` in quality.py's ledger): a word that
looks like its photos has theirs, whatever its class word's pictures have.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from protocol import chosen, open_bench, read_sets
from quality_report import table

from ticli.scoring.judge import picture_features, read_texts
from ticli.scoring.protocol import Counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("concepts", type=Path)
    parser.add_argument("--sets", default="")
    options = parser.parse_args()
    sets = read_sets(options.concepts)
    # Nothing is drawn here.
    bench = open_bench(Counts(1, 1), tuning=False)
    rows = [("set", "sentences", "without a subject")]
    for name in chosen(options.sets, list(sets)):
        photos = picture_features(bench.judge, bench.photos(sets[name].folder))
        texts = read_texts(bench.judge, bench.protocol(sets[name].kind), sets[name].word)
        read = (photos @ sentences.T for sentences in (texts.sentences, texts.bare))
        rows.append((name, *(f"{float(cosines.mean()):.3f}" for cosines in read)))
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
