"""What the classifier wrote → signals: `lines` reads, `record` recognises, `bot` and `own` translate, `repair` mends.

Pure, but for `lines`, which reads from the stream it is given.
"""
