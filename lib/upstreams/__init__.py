"""The doors to what generates: one package for each upstream, behind one interface."""
