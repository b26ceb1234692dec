"""One step a file. Steps only add: a release of before goes on working on the tables of a later one."""
