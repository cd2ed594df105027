"""The autograder: runs untrusted submissions in a sandbox and scores what they wrote, from the outside.

Two sides that never share a process. The submission's side gets words and gives bounded plain files; the trusted side,
this package, holds the gold tags and reads those files when every process of the submission is dead. Nothing of code/
and nothing of a submission is ever imported here.
"""
