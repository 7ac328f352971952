"""Prints what statsmodels makes of the cases in a JSON file; run by the oracle environment's Python."""

import json
import sys
from pathlib import Path

from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

cases = json.loads(Path(sys.argv[1]).read_text())
found = {
    "wilson": [list(map(float, proportion_confint(right, n, method="wilson"))) for right, n in cases["wilson"]],
    "mcnemar": [float(mcnemar(table, exact=True).pvalue) for table in cases["mcnemar"]],
    "holm": [list(map(float, multipletests(values, method="holm")[1])) for values in cases["holm"]],
}
print(json.dumps(found))
