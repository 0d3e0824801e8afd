"""What is kept of people, and for how long: erasures, and payloads whose time is over."""
