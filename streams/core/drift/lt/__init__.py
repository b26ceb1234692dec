"""`lt`: the published rule of Log Probability Tracking, its statistic, and its two-sample test."""
