"""From detections and scans to tracked, predicted objects in the map."""
