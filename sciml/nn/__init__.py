"""Layers: the message-passing engine and its instances."""
