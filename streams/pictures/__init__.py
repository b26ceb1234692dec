"""Pictures of what calibration and drift found, drawn by matplotlib (the extra ``pictures``)."""
