"""The learned mapping of visual tokens: windows, module, artifact, training, embedded model."""
