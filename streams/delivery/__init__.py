"""From a fetched batch to a committed offset: ledger, driver, runner, dead letters."""
