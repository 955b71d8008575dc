"""The winners of `pref_voting`; started by rankings.py in its environment.

PYTHON _pref_voting.py INPUT.json: a list of profiles with `places` (ballots × statements, 1 is best), `approves` (0 and 1) and
`counts` (of each ballot). Prints for each the margins, and the winners of every rule.
"""

import json
import sys
from pathlib import Path

from pref_voting.c1_methods import copeland
from pref_voting.grade_methods import approval
from pref_voting.grade_profiles import GradeProfile
from pref_voting.margin_based_methods import beat_path
from pref_voting.profiles_with_ties import ProfileWithTies
from pref_voting.scoring_methods import borda_for_profile_with_ties


def main() -> None:
    told = []
    for given in json.loads(Path(sys.argv[1]).read_text()):
        ranks = ProfileWithTies([dict(enumerate(b)) for b in given["places"]], rcounts=given["counts"])
        grades = GradeProfile(
            [dict(enumerate(b)) for b in given["approves"]], [0, 1], gcounts=given["counts"]
        )
        places = range(len(given["places"][0]))
        won = {
            "approval": approval(grades),
            "borda": borda_for_profile_with_ties(ranks),
            "copeland": copeland(ranks),
            "schulze": beat_path(ranks),
        }
        margins = [[int(ranks.margin(i, j)) for j in places] for i in places]
        told.append({"margins": margins, "won": {k: [int(c) for c in v] for k, v in won.items()}})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
