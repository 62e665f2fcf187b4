"""Images for training: layouts, decoding, augmentation, episodes."""
