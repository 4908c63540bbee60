"""The YDLiDAR G4: bytes and packets, the serial device, scans, and a G4 made of bytes."""
