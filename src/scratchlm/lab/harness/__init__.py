"""What every experiment shares: settings, steps that can be resumed, sealed results, reports, figures."""
