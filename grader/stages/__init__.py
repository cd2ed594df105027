"""The stages of a grading, one kind a file: each runs the submission in the sandbox and judges what it left.

A stage is a function `run(Grading, Stage)` that returns what base.finish makes. Later stages find in the Grading what
earlier ones left there, for one the trained models.
"""
