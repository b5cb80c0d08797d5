"""What only many answers show, for print."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecgkit.study.battery import printed_sets


def test_sets_are_printed_with_a_dash_where_there_were_too_few() -> None:
    sets = pd.DataFrame({"auc": [0.734, np.nan], "auc_low": [0.68, np.nan], "auc_high": [0.78, np.nan],
                         "frechet": [2.029, np.nan], "neighbours": [1.12, np.nan], "n": [148.0, 5.0]},
                        index=["GAN", "PGD"])
    shown = printed_sets(sets.assign(spearman=[0.99, np.nan]))
    assert shown.loc["GAN"].tolist() == ["0.73 (0.68–0.78)", "2.03", "1.12", "0.99", 148]
    assert shown.loc["PGD"].tolist() == ["–", "–", "–", "–", 5]
    assert printed_sets(sets)["follows the wish"].tolist() == ["–", "–"], "nobody was asked for every grade"
