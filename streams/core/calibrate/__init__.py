"""From recorded answers to a policy: calibration maps, measures of confidence, and a choice of thresholds that holds."""
