"""What Powertools reads when it is imported has to stand before anything imports it."""

import os

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "switchboard")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Switchboard")
