"""Which posts are taken."""

from switchboard.matching import mentions, same, share, speaks
from switchboard.settings.social import SocialSettings
from switchboard.social import Post


def excluded_by(post: Post, settings: SocialSettings) -> str | None:
    """The criterion that keeps the post out, None when it is taken.

    A criterion with entries lets through only what has one of them, so a post without a language does not
    pass a list of languages.
    """
    if any(
        same(own.community, post.community) and own.author_id == post.author_id
        for own in settings.own_accounts
    ):
        return "ownAccounts"
    criteria = settings.criteria
    passed = {
        "communities": share(criteria.communities, [post.community]),
        "languages": any(speaks(post.language, wanted) for wanted in criteria.languages),
        "keywords": mentions(post.body, criteria.keywords),
        "topics": share(criteria.topics, post.topics),
        "sentiments": post.sentiment in criteria.sentiments,
    }
    return next((name for name, passes in passed.items() if getattr(criteria, name) and not passes), None)
