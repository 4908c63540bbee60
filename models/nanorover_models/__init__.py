"""Detectors in torch: defining, training, evaluating, compressing and exporting them."""
