"""Files: reading what somebody else wrote within bounds, and writing so that nothing is lost or left behind."""
