"""The file formats and the small types they hold: the lowest floor, numpy alone."""
