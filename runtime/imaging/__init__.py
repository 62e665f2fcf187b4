"""From an image file or array to the encoder's input, and from a map back to a picture."""
