"""`experiment tasks`: one multi-task model for four tasks, compared with baselines and single-task models."""
