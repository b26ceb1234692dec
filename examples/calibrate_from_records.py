"""Fits a policy to the records of hedgerow evaluate, and prints it with what it did on the half it was not fitted on.

python calibrate_from_records.py RECORDS
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

from streams.core.calibration.calibration_report import calibrated
from streams.core.policy.fitted import Promise
from streams.evaluation import read_records

records = read_records(Path(sys.argv[1]))
promise = Promise(max_error=0.05, level=0.95, keep=0.99, min_saving=0.7, max_review=0.3, review_usd=0.1)

today = datetime.datetime.now(datetime.UTC).date()
policy, report = calibrated(records, promise, today)  # raises NoPolicy if no policy keeps the bound
figures = report["figures"]

print(policy.model_dump_json())
print(json.dumps({name: figures[name] for name in ("saving", "accuracy", "accepted_error", "accepted_error_bound")}))
