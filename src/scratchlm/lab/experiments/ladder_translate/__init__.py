"""`experiment ladder-translate`: short English sentences into German, by rules, statistics and networks."""
