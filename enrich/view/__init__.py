"""The view: what `enrich view` shows of a project, for its page.

The page asks four things: the site (`Viewer.site`), a page of rows, one row, and a person's review.
It is answered from copies of the databases, so that it never waits for a run, nor a run for it.
"""

from enrich.view.viewer import Viewer

__all__ = ["Viewer"]
