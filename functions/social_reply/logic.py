"""How an answer reads on the case."""


def followup(body: str, agent_id: str, sent_at: str) -> str:
    """The answer as the next agent reads it: what was said, by whom, and when."""
    return f"{body}\n\nAnswered by {agent_id}, {sent_at}"
