"""What differs between two records: settings, data, environments."""
