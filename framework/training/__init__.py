"""Training of a model that is made of a spec. Nothing is imported here, so that forms are read without torch."""
