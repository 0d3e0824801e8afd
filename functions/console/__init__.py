"""The console: the web page at /console."""
