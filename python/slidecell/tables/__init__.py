"""Files and frames as rows in order of entity and time, with the way back to the input."""
