"""SE(2), angles and scans: the one place for pose arithmetic."""
