"""The four stages from end to end: tickets a second, CPU, latency and memory, against what one would write by hand."""
