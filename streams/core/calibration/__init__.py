"""From recorded answers to a policy: measures of confidence, fits, and a choice of thresholds that holds."""
