"""Everything a clone needs to run by itself: brokers, a model server, sample tickets."""
