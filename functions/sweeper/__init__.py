"""Each minute: what is due, lost or stuck goes back to work."""
