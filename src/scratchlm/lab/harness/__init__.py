"""Shared by all experiments: settings, resumable steps, sealed results, reports, figures."""
