"""`experiment label-efficiency`: spam detection against the number of labels, for each method of ladder-spam."""
