"""Surveys: the partner API, and QuestionPro's webhook."""
