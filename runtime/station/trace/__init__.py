"""The trace: every part's verdict and the input that it rests on, in one folder that outlives power cuts."""
